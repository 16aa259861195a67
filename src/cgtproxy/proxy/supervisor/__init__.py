"""The supervisor: the first process of the built-in server. No traffic passes through it.

It owns the listening sockets and the shared memory (fake-ip pools, health of the upstreams), looks
up the upstreams' names and checks them, and forks the workers and the resolver, which it replaces
when they end. It may bind transparent sockets (CAP_NET_ADMIN), and reads the configuration, files
with passwords and CA certificates, hosts and resolv.conf.
"""
