"""What corrected masks are worth: a simulated person corrects some, and a run learns from them."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
