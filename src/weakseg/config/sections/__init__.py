"""The sections of a recipe: one file per stage, one field per setting."""
