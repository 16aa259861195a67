"""From names to addresses, without blocking."""
