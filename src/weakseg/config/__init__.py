"""Recipes: typed sections, YAML files, and overrides from the command line."""
