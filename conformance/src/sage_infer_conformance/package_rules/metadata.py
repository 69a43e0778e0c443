"""Reads installed metadata: no plugin is imported by this."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib.metadata import (
    Distribution,
    PackageNotFoundError,
    distribution,
    distributions,
    packages_distributions,
)

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sage_infer_contracts.kinds import PROJECT_NAME, PluginKind
from sage_infer_contracts.testing import SubjectKind

from .facts import Metadata

GROUP_PREFIX = f"{PROJECT_NAME}."
KIT = "sage-infer-conformance"
_NOT_DRIVERS = frozenset({PluginKind.CONFORMANCE, PluginKind.HOOKS})
DRIVER_GROUPS = frozenset(kind.group for kind in PluginKind if kind not in _NOT_DRIVERS)
_UNKNOWN = "UNKNOWN"
"""What old build tools write into a field that was not given."""


def read_metadata(name: str) -> Metadata:
    """Return the fields of an installed distribution."""
    found = distribution(name).metadata
    fields = {key: _first(found.get_all(key)) for key in ("Name", "Version", "Summary", "Requires-Python")}
    licenses = [found.get_all("License-Expression"), found.get_all("License"), found.get_all("License-File")]
    classified = [line for line in found.get_all("Classifier") or [] if line.startswith("License ::")]
    return Metadata(
        name=fields["Name"],
        version=fields["Version"],
        summary=fields["Summary"],
        license=next(filter(None, map(_first, [*licenses, classified])), None),
        requires_python=fields["Requires-Python"],
        requires=tuple(found.get_all("Requires-Dist") or ()),
    )


def _first(values: list[str] | None) -> str | None:
    value = values[0].strip() if values else ""
    return value if value and value != _UNKNOWN else None


def requirements(lines: Iterable[str], *, extra: str = "") -> Iterator[Requirement]:
    """Yield what is required in this environment; lines that cannot be read are left out."""
    for line in lines:
        try:
            found = Requirement(line)
        except InvalidRequirement:
            continue
        if found.marker is None or found.marker.evaluate({"extra": extra}):
            yield found


def all_requirements(lines: Iterable[str]) -> Iterator[Requirement]:
    """Yield every requirement, those of extras included."""
    for line in lines:
        try:
            yield Requirement(line)
        except InvalidRequirement:
            continue


def closure(names: Iterable[str]) -> set[str]:
    """Return the distributions that an installer brings for ``names``, as far as they are installed."""
    waiting = [(str(canonicalize_name(name)), "") for name in names]
    seen: set[tuple[str, str]] = set()
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        try:
            lines = distribution(item[0]).requires or ()
        except PackageNotFoundError:
            continue
        for needed in requirements(lines, extra=item[1]):
            waiting += [(str(canonicalize_name(needed.name)), extra) for extra in ("", *needed.extras)]
    return {name for name, _ in seen}


def beyond_requirements(name: str) -> tuple[set[str], set[str]]:
    """Return the distributions, and their modules, that would not be there had only ``name`` been installed.

    The kit stays, and so do sources of models, which the kit needs to use a backend at all.
    """
    installed = {str(canonicalize_name(found.name)) for found in distributions() if found.name}
    kept = closure([name, KIT, *claims_of(PluginKind.MODEL_SOURCE.group)])
    gone = installed - kept
    modules = {
        module
        for module, owners in packages_distributions().items()
        if all(str(canonicalize_name(owner)) in gone for owner in owners)
    }
    return gone, modules


def claims_of(group: str, name: str | None = None) -> list[str]:
    """Return the distributions that publish something in ``group``, or something called ``name``."""
    return sorted(
        {
            str(canonicalize_name(found.name))
            for found in distributions()
            if found.name and publishes(found, group, name)
        }
    )


def publishes(found: Distribution, group: str, name: str | None = None) -> bool:
    """Say whether a distribution has an entry point in ``group``."""
    return any(point.group == group and name in (None, point.name) for point in found.entry_points)


def driver_group(kind: SubjectKind) -> str | None:
    """Return the entry-point group in which drivers of ``kind`` are found; None for a kind without one."""
    known = {kind.value: kind.group for kind in PluginKind}
    return known.get(kind)
