"""What one setting of RIB does to the seeds."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
