"""What a payment provider tells, and how it is known that it was the provider."""
