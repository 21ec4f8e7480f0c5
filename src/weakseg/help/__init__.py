"""What `weakseg VERB --help` shows: a verb's options, and settings with the values of the recipe that is named."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
