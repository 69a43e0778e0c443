"""Model sources ``demo`` and ``demo-embed``."""

from importlib.metadata import version

__version__ = version("sage-infer-demo")
