"""Bringing masks back that were corrected in another tool: one reader per format, and what writes them to a run."""
