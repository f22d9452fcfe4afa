"""Targets made from problems that others wrote: a PyTorch module and functions that draw its inputs."""
