"""Studies: experiments that end in a table, a CSV and a figure; a folder each, and beside them what they share."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
