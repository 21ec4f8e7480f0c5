"""What a person has said about the masks of a run, and runs that learn from it."""
