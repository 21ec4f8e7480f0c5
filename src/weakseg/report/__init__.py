"""The report: everything a run found out, on one page."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
