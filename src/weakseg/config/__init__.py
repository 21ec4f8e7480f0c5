"""Recipes: typed sections, YAML files, and overrides from the command line."""

from weakseg.lazy import open_modules

__getattr__ = open_modules(__name__)
