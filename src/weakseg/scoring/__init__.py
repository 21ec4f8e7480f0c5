"""Measuring: what seeds, masks and networks score against the truth, and how each number came about."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
