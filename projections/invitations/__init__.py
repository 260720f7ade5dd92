"""Who is invited where, and whose verified address is which."""
