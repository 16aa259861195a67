"""What carries the bytes, in both directions."""
