"""Netlink: the messages (pure) and the socket."""
