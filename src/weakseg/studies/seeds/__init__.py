"""How the seeds or masks of several runs differ."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
