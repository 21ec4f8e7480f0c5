"""Readers of tagged images; a data set differs from another only in here."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
