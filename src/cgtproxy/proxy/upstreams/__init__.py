"""Upstreams, for all three processes: which one is used, and how to connect through it.

The supervisor checks their health and reads passwords (`secrets`); the workers dial; the resolver
uses selection and fail-over, and dials by asyncio itself (`dns/dial.py`). All of them read the CA
certificates of `https://` upstreams, and mark an upstream in shared memory that is down.
"""
