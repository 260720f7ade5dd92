"""Rules of access: the language they are written in, their life, and what they are compiled to."""
