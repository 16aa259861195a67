"""Upstreams, in each of the three processes: which one is taken, and how to connect by it."""
