"""The plugin host: what is installed, what loads, what hooks propose. Names are imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .catalog import Catalog as Catalog, PluginEntry as PluginEntry, Problem as Problem
    from .choice import Candidate as Candidate, Explanation as Explanation
    from .hooks import FromPlugin as FromPlugin, Hooks as Hooks
    from .loading import check_driver as check_driver
    from .registry import (
        LoadedPlugin as LoadedPlugin,
        Registry as Registry,
        default_registry as default_registry,
    )

_HOME = {
    "Catalog": "catalog",
    "PluginEntry": "catalog",
    "Problem": "catalog",
    "Candidate": "choice",
    "Explanation": "choice",
    "FromPlugin": "hooks",
    "Hooks": "hooks",
    "check_driver": "loading",
    "LoadedPlugin": "registry",
    "Registry": "registry",
    "default_registry": "registry",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value
