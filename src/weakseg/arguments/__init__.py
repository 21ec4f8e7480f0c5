"""From the words of a command line to what a verb works with."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
