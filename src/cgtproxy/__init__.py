"""Per-app transparent proxy manager: cgroup v2, nftables, policy routing, TPROXY."""

__version__ = "1.0.0"
