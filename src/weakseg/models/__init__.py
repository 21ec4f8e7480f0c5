"""Networks, and the loading of published weights into them."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
