"""From seeds to pseudo masks: one method, one file."""
