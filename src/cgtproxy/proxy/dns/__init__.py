"""The DNS server: what it answers, and whom it asks."""
