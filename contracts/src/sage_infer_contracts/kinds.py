"""Plugin kinds, their entry-point groups, and legal names.

Kept free of pydantic, so that a host can list what is installed at the cost of reading metadata alone. The list of
reserved hardware names here is the only place in contracts and core where a vendor is named.
"""

from __future__ import annotations

import re
from enum import StrEnum

PROJECT_NAME = "sage_infer"
CONTRACTS_DISTRIBUTION = "sage-infer-contracts"
"""The distribution whose version a plugin's ``Requires-Dist`` sets a floor for."""


class PluginKind(StrEnum):
    """What a plugin is. The value is the middle part of its entry-point group."""

    BACKEND = "backend"
    EMBEDDING = "embedding"
    KV_TIER = "kv_tier"
    EVICTION = "eviction"
    TRANSPORT = "transport"
    DEVICE = "device"
    MODEL_SOURCE = "model_source"
    HOOKS = "hooks"
    CONFORMANCE = "conformance"
    ADMISSION = "admission"
    PREFETCH = "prefetch"
    SCHEDULING = "scheduling"

    @property
    def group(self) -> str:
        """Entry-point group; the number is the contract's major version."""
        return f"{PROJECT_NAME}.{self.value}.v1"


COMMANDS_GROUP = f"{PROJECT_NAME}.commands"
"""Lazy CLI commands; resolves to a click command."""

TESTED_GROUP = f"{PROJECT_NAME}.tested.v1"
"""Where a package declares what it was tested with (PK-06). An entry point is called as the distribution it is about,
for example a framework, and resolves to a ``VersionWindow``; loading it imports no heavy dependency."""

RESERVED_KINDS = frozenset({PluginKind.ADMISSION, PluginKind.PREFETCH, PluginKind.SCHEDULING})
"""Kinds whose group name is kept for a later contract; nothing loads from them yet."""

RESERVED_HARDWARE_NAMES: frozenset[str] = frozenset(
    {"cuda", "ascend", "cambricon", "hygon", "kunlunxin", "cpu"}
)
"""Only the project's own plugins may claim these; the set of hardware names itself is open."""

_HOST_DISTRIBUTIONS = frozenset({"sage-infer-host", "sage-infer-torch", "sage-infer-vllm"})
_NAME = re.compile(r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$")


def check_plugin_name(name: str) -> str:
    """Return ``name`` if it is a legal plugin or hardware name, else raise ValueError."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a plugin name: lower-case letters, digits, '-' and '_', starting with a letter"
        )
    return name


def may_claim(name: str, distribution: str) -> bool:
    """Say whether ``distribution`` (normalised) may publish a plugin called ``name``.

    A reserved hardware name belongs to ``sage-infer-<name>``; ``cpu`` also to the host and engine plugins.
    """
    if name not in RESERVED_HARDWARE_NAMES or distribution == f"sage-infer-{name}":
        return True
    return name == "cpu" and distribution in _HOST_DISTRIBUTIONS
