"""Fake-ip: addresses that stand for names, shared by all processes of the server."""
