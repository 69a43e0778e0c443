"""Policies of sage-infer: the eviction policy ``lru``."""
