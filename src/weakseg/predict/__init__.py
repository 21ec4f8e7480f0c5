"""Masks of new images from a trained network, a bundle or an ONNX file."""
