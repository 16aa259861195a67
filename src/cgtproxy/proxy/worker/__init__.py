"""The workers: one process for each core, each with a share of all connections and UDP sessions.

A worker has the listening sockets from the supervisor by fork(2), opens sockets of its own, reads
the shared memory of the fake-ip pools, and touches no file.
"""
