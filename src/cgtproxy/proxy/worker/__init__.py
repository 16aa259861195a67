"""The workers: one process for each core, each with a share of all connections and UDP sessions.

A worker inherits the listening sockets from the supervisor by fork(2) and opens others. It reads
names from the fake-ip pools in shared memory. When it starts it reads the CA certificates of
`https://` upstreams and sets its own oom_score_adj; later it touches no file.
"""
