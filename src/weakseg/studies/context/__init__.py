"""CAM against CDA where backgrounds tell more or less of the animals."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
