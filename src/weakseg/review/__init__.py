"""Looking at masks and correcting them: which images to look at first, and the page."""
