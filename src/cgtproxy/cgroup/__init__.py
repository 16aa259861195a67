"""The cgroup v2 hierarchy: where it is mounted, what is in it, and how we hear of changes."""
