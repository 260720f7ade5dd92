"""Invitations into organisations."""
