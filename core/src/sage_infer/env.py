"""Every environment variable that core reads, one typed function each.

No other module of core looks at the environment.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from sage_infer_contracts.errors import InvalidRequest

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})


def _flag(name: str, *, default: bool) -> bool:
    text = os.environ.get(name, "").strip().lower()
    if not text:
        return default
    if text not in _TRUE | _FALSE:
        raise InvalidRequest(f"{name}={text!r} is not a switch; use 1 or 0", param=name)
    return text in _TRUE


def plugin_autoload() -> bool:
    """``SAGE_INFER_PLUGIN_AUTOLOAD``: 0 keeps hooks from loading; plugins asked for by name still load."""
    return _flag("SAGE_INFER_PLUGIN_AUTOLOAD", default=True)


def plugin_allowlist() -> frozenset[str] | None:
    """``SAGE_INFER_PLUGIN_ALLOWLIST``: comma-separated names or ``dist:name``; unset means no restriction.

    Set but empty allows nothing.
    """
    text = os.environ.get("SAGE_INFER_PLUGIN_ALLOWLIST")
    if text is None:
        return None
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def cache_dir() -> Path:
    """``SAGE_INFER_CACHE``: folder for converted models and other rebuildable files; not created here."""
    text = os.environ.get("SAGE_INFER_CACHE")
    if text:
        return Path(text).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("sage-infer", appauthor=False)


_CONFIG_PREFIX = "SAGE_INFER_"


def config_file() -> Path | None:
    """``SAGE_INFER_CONFIG``: the configuration file to use when no flag names one."""
    text = os.environ.get("SAGE_INFER_CONFIG")
    return Path(text).expanduser() if text else None


def config_values() -> dict[str, str]:
    """``SAGE_INFER_<SECTION>__<KEY>``: every variable of that form, as ``{"section.key": text}``."""
    return {
        name[len(_CONFIG_PREFIX) :].lower().replace("__", "."): text
        for name, text in os.environ.items()
        if name.startswith(_CONFIG_PREFIX) and "__" in name[len(_CONFIG_PREFIX) :]
    }


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with ``extra`` on top, for a child process."""
    return {**os.environ, **extra}


def differing_from(wanted: Mapping[str, str]) -> list[str]:
    """Name the variables of ``wanted`` that have another value, or none, in this process."""
    return sorted(name for name, value in wanted.items() if os.environ.get(name) != value)


def variable(name: str) -> str | None:
    """Return any variable, for hardware probes: which ones a detector asks for is the detector's business."""
    return os.environ.get(name)
