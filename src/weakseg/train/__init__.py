"""Training loops, optimisers and losses."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
