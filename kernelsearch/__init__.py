"""Finds faster kernels for training hot paths and proves them equal."""
