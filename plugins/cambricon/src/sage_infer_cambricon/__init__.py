"""Cambricon MLU: how to find one, what its chips can do, and how engines run on it."""
