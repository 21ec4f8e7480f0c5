"""What a user asks for by name: demo, evaluate, report, predict, check."""
