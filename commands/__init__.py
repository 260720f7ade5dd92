"""What may be ordered, one slice a file: the command, and the handler that carries it out."""
