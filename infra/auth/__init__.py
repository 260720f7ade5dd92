"""Proof of who asks: access tokens, refresh tokens, passwords and other credentials."""
