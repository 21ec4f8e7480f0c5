"""What a user asks for by name: demo, evaluate, report, predict, check."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
