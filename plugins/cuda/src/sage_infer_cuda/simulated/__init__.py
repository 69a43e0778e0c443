"""Machines with NVIDIA GPUs, written from the formats of the driver, its tool and its library; none is a capture."""
