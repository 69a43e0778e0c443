"""NVIDIA GPUs: the hardware ``cuda``."""
