"""How long a recipe will take on this machine, and how much memory: every stage tried on a few images."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
