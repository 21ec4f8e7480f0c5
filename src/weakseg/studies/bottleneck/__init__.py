"""The toy experiment of the RIB paper: on which pixels the layers of a classifier depend."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
