"""Rosters: an organisation's people and classes from a file."""
