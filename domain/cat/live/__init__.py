"""Adaptive tests as they are taken: decisions from an attempt's own history, and their explanations."""
