"""Sockets and the reactor, as all processes of the built-in server use them."""
