"""Mail to people: asked for in a table, sent by a worker."""
