"""From a classifier to the score maps of an image's own tags: one method, one file."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
