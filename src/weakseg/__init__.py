"""weakseg: from image-level tags to pixel masks and a trained segmentation network."""

from weakseg.lazy import open_modules

__version__ = "0.1.0"
__getattr__ = open_modules(__name__)
