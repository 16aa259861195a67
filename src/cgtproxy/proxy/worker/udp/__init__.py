"""UDP in a worker: a session for each client, a flow for each of its destinations."""
