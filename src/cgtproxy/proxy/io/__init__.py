"""Sockets, datagrams in batches and the reactor, as all processes of the built-in server use them.

What is here knows nothing of upstreams, names or the configuration.
"""
