"""How fast made-up addresses are answered, beside other servers with fake-ip."""
