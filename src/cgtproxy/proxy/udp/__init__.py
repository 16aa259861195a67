"""UDP: sessions of clients, and what carries their datagrams."""
