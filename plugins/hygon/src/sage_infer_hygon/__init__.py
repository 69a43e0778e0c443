"""Hygon DCU: the hardware detector, the figures of the chips, and the backends of the name ``hygon``."""
