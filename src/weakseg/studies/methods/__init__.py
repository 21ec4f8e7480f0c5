"""Every method and refinement with the same budget."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
