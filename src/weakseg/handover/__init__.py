"""What leaves a run: its masks in the formats of other tools, and its network as a bundle or ONNX file."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
