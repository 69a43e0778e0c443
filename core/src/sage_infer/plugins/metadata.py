"""Reads what one installed distribution says about itself, cheaply and without importing any of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from email.parser import HeaderParser
from importlib.metadata import Distribution

import attrs

from sage_infer_contracts.kinds import CONTRACTS_DISTRIBUTION

_REQUIREMENT = re.compile(r"^\s*([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*\(?\s*([^;)]*?)\s*\)?\s*(?:;(.*))?$")


@attrs.frozen(slots=True)
class DistributionFacts:
    """Name (normalised), version, and the specifier its ``Requires-Dist`` puts on the contracts."""

    name: str
    version: str
    requires_contract: str | None


def canonical_name(name: str) -> str:
    """Return ``name`` normalised as package indexes do: ``Sage_Infer.X`` is ``sage-infer-x``."""
    return re.sub(r"[-_.]+", "-", name).lower()


def quick_name(distribution: Distribution) -> str:
    """Return the normalised name, from the folder's name where the interpreter can tell it from there.

    Raises ValueError when the distribution has no name at all.
    """
    # importlib.metadata shadows duplicates by this very key; reading METADATA of everything installed to get the
    # public one would cost more than the interpreter's whole entry-point scan.
    try:
        name = getattr(distribution, "_normalized_name", None) or distribution.name
    except (TypeError, KeyError, AttributeError):
        name = None
    if not name:
        raise ValueError("it has no name")
    return canonical_name(str(name))


def place_of(distribution: Distribution) -> str:
    """Return the metadata folder, or else the folder the distribution's files are in."""
    return str(getattr(distribution, "_path", None) or distribution.locate_file(""))


def same_place(one: str, other: str) -> bool:
    """Say whether two places are one: a folder that is on the import path twice."""
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def entry_lines(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, target) of an ``entry_points.txt``; raises ValueError at a line that is none."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
            continue
        name, equals, target = line.partition("=")
        if not equals or not group:
            raise ValueError(f"entry_points.txt has a line that is no entry point: {line!r}")
        yield group, name.strip(), target.strip()


def read_facts(distribution: Distribution) -> DistributionFacts:
    """Read name, version and contract requirement; raises ValueError when they are not there."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    if not text:
        raise ValueError("it has no readable METADATA")
    headers = HeaderParser().parsestr(text)
    name, version = headers.get("Name"), headers.get("Version")
    if not name or not version:
        raise ValueError("METADATA has no Name or no Version")
    return DistributionFacts(
        canonical_name(name), version, _contract_floor(headers.get_all("Requires-Dist", []))
    )


def _contract_floor(requirements: list[str]) -> str | None:
    specifiers = []
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None or canonical_name(match[1]) != CONTRACTS_DISTRIBUTION:
            continue
        if match[3] is None or _applies(match[3]):
            specifiers.append(match[2].replace(" ", ""))
    return ",".join(filter(None, specifiers)) or None


def _applies(marker: str) -> bool:
    """Say whether an environment marker holds here, without extras; one that cannot be read does not."""
    from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName

    try:
        return Marker(marker).evaluate({"extra": ""})
    except (InvalidMarker, UndefinedEnvironmentName) as error:
        raise ValueError(f"Requires-Dist has an unreadable marker {marker!r}: {error}") from error
