"""What happens in an exam, and what is refused: pure facts, states and decisions."""
