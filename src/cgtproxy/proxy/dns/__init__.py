"""The resolver: one process, on asyncio, that answers DNS for all TPROXYs.

Its listening sockets come from the supervisor by fork(2). It opens sockets of its own to DNS
servers and upstreams, reads hosts(5), resolv.conf(5) and CA certificates, and is the only process
that gives names to fake-ip addresses: it writes the pools' shared memory, and their file in the
state directory.

A query comes in by `service`, `answers` decides, and `forward` asks others: by `clients` and `doh`,
over connections of `dial`, or as the computer itself would (`system`).
"""
