"""Training loops, optimisers and losses."""
