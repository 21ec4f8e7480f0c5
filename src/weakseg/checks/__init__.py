"""Looking at a data set before hours of training: what is odd in it, and what to do about it."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
