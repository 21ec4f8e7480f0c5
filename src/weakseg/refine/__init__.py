"""From seeds to pseudo masks: one method, one file."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
