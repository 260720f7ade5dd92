"""What somebody has paid for, and until when."""
