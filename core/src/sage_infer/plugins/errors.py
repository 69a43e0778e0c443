"""The sentences a person reads when a plugin cannot be had: what, from where, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from sage_infer_contracts.errors import (
    PluginConflict,
    PluginIncompatible,
    PluginLoadError,
    PluginNotFound,
)
from sage_infer_contracts.kinds import PluginKind

from .catalog import Catalog, PluginEntry


class PluginFacts(TypedDict):
    """The fields that every plugin error carries."""

    kind: str
    name: str
    distribution: str
    version: str
    target: str


def facts(entry: PluginEntry) -> PluginFacts:
    """Return the fields of ``entry`` that an error carries."""
    return PluginFacts(
        kind=entry.kind.value,
        name=entry.name,
        distribution=entry.distribution,
        version=entry.version,
        target=entry.target,
    )


def describe(entry: PluginEntry) -> str:
    """Return ``kind 'name' (distribution version, target)``."""
    return f"{entry.kind.value} {entry.name!r} ({entry.distribution} {entry.version}, {entry.target})"


def load_error(entry: PluginEntry, reason: str) -> PluginLoadError:
    """Return the error of a plugin that is installed and cannot be used."""
    return PluginLoadError(f"plugin {describe(entry)} {reason}", **facts(entry))


def incompatible(entry: PluginEntry, installed: str) -> PluginIncompatible:
    """Return the error of a plugin made for another version of the contracts."""
    return PluginIncompatible(
        f"plugin {describe(entry)} needs sage-infer-contracts {entry.requires_contract}, installed is {installed}; "
        "upgrade sage-infer, or install an older version of the plugin",
        **facts(entry),
    )


def conflict(kind: PluginKind, name: str, claims: Sequence[PluginEntry]) -> PluginConflict:
    """Return the error of a bare name that several distributions claim."""
    listed = ", ".join(f"{entry.qualified} ({entry.version})" for entry in claims)
    return PluginConflict(
        f"{kind.value} {name!r} is claimed by {len(claims)} distributions: {listed}; use one of these full names",
        kind=kind.value,
        name=name,
    )


def not_found(
    kind: PluginKind, name: str, catalog: Catalog, available: Sequence[str], *, blocked: Sequence[PluginEntry]
) -> PluginNotFound:
    """Return the error of a name nothing allowed answers to; ``blocked`` are kept away by the allowlist."""
    if blocked:
        why = f"{blocked[0].qualified} is installed but not on the allowlist SAGE_INFER_PLUGIN_ALLOWLIST"
    else:
        bare = name.rpartition(":")[2]
        faults = [
            p.message for p in catalog.problems if p.kind is kind and p.name == bare and p.code != "clash"
        ]
        why = "; ".join(faults) or "nothing installed has that name"
    listed = ", ".join(available) or "none"
    return PluginNotFound(
        f"no {kind.value} plugin {name!r}: {why}. Available: {listed}", kind=kind.value, name=name
    )


def unknown_on_allowlist(item: str, catalog: Catalog) -> PluginNotFound:
    """Return the error of an allowlist item that matches nothing installed."""
    listed = ", ".join(sorted({entry.name for entry in catalog.entries})) or "none"
    return PluginNotFound(
        f"the plugin allowlist names {item!r}, which is not installed; installed plugins: {listed}", name=item
    )
