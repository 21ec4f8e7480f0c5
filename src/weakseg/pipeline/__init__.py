"""Stages, the files they hand to each other, and the run folder that lets them skip, resume and redo."""
