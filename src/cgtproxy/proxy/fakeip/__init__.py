"""Fake-ip: addresses of a pool that stand for names, so that the upstream can be told the name.

A pool is a table of slots in memory that all processes share. The supervisor maps it before it
forks. The resolver alone gives names to slots (`pool`) and keeps them in a file (`store`); the
workers read names and stamp the time of last use (`names`, `destinations`), and open no file.
"""
