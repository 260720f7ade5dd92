"""Sample content and real response data, for trying the system and for its tests."""
