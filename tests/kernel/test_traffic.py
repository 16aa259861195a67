"""Every kind of rule, told by where real packets arrive."""

from __future__ import annotations

import bed

CONFIG = """
version: 1
cgroup-root: AUTO
route-table: 300
bypass: [127.0.0.0/8, "::1"]
tproxies:
  first: {mark: 3000, port: 10001}
rules:
  - {match: '^/proxy', tproxy: first}
  - {match: '^/drop', drop: true}
  - {match: '^/direct', direct: true}
"""


def test_each_target(origin, tproxy_server, cgroup):
    with bed.Daemon(CONFIG):
        assert bed.paths(cgroup("proxy")) == bed.everywhere("tproxy")
        assert bed.paths(cgroup("direct")) == bed.everywhere("origin")
        assert bed.paths(cgroup("other")) == bed.everywhere("origin")
        assert bed.paths(cgroup("drop"), timeout=1) == bed.DROPPED
        assert bed.paths(cgroup("proxy/deeper/still")) == bed.everywhere("tproxy")
