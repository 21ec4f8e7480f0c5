"""Pure functions on tensors and arrays: no files, no state, no configuration."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
