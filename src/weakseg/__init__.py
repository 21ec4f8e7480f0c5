"""weakseg: from image-level tags to pixel masks and a trained segmentation network."""

__version__ = "0.1.0"
