"""How fast the manager is, next to a peer, on this machine's kernel. Runs in the test bed."""
