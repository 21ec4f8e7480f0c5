"""Looking at masks and correcting them: what a person has said, and which images to look at first."""
