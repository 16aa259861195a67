"""The built-in TPROXY server: a supervisor process, which forks workers and a resolver.

`supervisor`, `worker` and `dns` are these three processes; the other folders are what they share.
Imports go down: supervisor, worker and dns, upstreams, fakeip, names, protocols and io.
"""
