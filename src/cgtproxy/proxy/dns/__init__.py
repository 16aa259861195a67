"""The resolver: one process, on asyncio, that answers DNS for all TPROXYs.

It alone gives fake-ip addresses to names: it writes the pools' shared memory and their files in
the state directory. Its listening sockets are the supervisor's.
"""
