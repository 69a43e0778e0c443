"""Queues between admission and the instances."""

from .fifo import BoundedFifo

__all__ = ["BoundedFifo"]
