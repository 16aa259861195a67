"""TCP in a worker: accept, connect through an upstream, relay."""
