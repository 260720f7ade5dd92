"""The sequencer: one process at a time gives dense positions to the events that have been committed."""
