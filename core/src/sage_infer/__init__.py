"""The sage-infer host."""

from importlib.metadata import version

__version__ = version("sage-infer")
