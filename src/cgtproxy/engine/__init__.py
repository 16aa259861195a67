"""Reconciling: what should be in the kernel, what is, and one change to make them the same."""
