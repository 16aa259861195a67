"""The supervisor: the first process of the built-in server. No traffic passes through it.

It owns the listening sockets and the fake-ip pools' shared memory, checks the upstreams, and forks
the workers and the resolver, which it replaces when they end. It may bind transparent sockets
(CAP_NET_ADMIN) and read the files with passwords.
"""
