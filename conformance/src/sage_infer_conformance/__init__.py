"""The judge: certifies any plugin against the contract of sage-infer, and proves that it can tell right from wrong."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("sage-infer-conformance")
