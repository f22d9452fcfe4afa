"""Accepted kernels in somebody else's unmodified nanochat: what to replace, by what, and when not to."""
