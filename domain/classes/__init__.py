"""Classes: who teaches whom in an organisation."""
