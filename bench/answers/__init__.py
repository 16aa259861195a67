"""How fast fake-ip addresses are answered, beside other servers with fake-ip."""
