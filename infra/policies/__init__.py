"""Policies at work: the Cedar engine, and the rules that every installation begins with."""
