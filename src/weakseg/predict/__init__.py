"""Masks of new images from a trained network, a bundle or an ONNX file."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
