"""Policy routing: marked packets to lo, both families."""
