"""From a classifier to the score maps of an image's own tags: one method, one file."""
