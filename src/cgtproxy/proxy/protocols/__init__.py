"""SOCKS5, HTTP CONNECT and DNS as pure machines: bytes in, bytes out.

All processes of the built-in server use them. They have no socket, clock, log or file.
"""
