"""From names to real addresses, as the workers and the supervisor need them on their reactor.

`system` reads what the computer is told of names, hosts(5) and resolv.conf(5), again whenever they
change; `stub` asks DNS servers, with sockets of its own, and never blocks.
"""
