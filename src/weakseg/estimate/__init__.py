"""How long a recipe will take on this machine, and how much memory: every stage tried on a few images."""
