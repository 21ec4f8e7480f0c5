"""Background thresholds chosen without masks."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
