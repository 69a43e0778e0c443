"""From a model's name to its folder on this machine."""

from .resolution import resolve_model

__all__ = ["resolve_model"]
