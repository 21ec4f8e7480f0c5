"""Stages, the files they hand to each other, and the run folder that lets them skip, resume and redo."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
