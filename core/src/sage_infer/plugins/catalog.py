"""What is installed, read from distribution metadata alone: no plugin is imported, and neither is pydantic."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from importlib.metadata import Distribution, distributions
from itertools import groupby

import attrs

from sage_infer_contracts.kinds import (
    COMMANDS_GROUP,
    PROJECT_NAME,
    RESERVED_KINDS,
    TESTED_GROUP,
    PluginKind,
    check_plugin_name,
    may_claim,
)

from .metadata import (
    DistributionFacts,
    canonical_name,
    entry_lines,
    place_of,
    quick_name,
    read_facts,
    same_place,
)

_PREFIX = f"{PROJECT_NAME}."
_KIND_OF_GROUP = {kind.group: kind for kind in PluginKind}
_TARGET = re.compile(r"^[^\W\d]\w*(\.[^\W\d]\w*)*(:[^\W\d]\w*(\.[^\W\d]\w*)*)?(\s*\[[^\]]*\])?$")
_METADATA_ERRORS = (OSError, ValueError, TypeError, KeyError)
"""What reading damaged metadata raises; UnicodeDecodeError is a ValueError."""


@attrs.frozen(slots=True)
class PluginEntry:
    """One installed plugin. ``distribution`` is normalised; ``target`` is ``module:attribute``, not imported."""

    kind: PluginKind
    name: str
    distribution: str
    version: str
    target: str
    requires_contract: str | None
    """Version specifier on the contracts distribution, ``">=0.1"``; None when the plugin declares none."""

    @property
    def qualified(self) -> str:
        """``distribution:name``, which selects this plugin even when another claims its name."""
        return f"{self.distribution}:{self.name}"

    def answers_to(self, name: str) -> bool:
        """Say whether this is called ``name``, or ``dist:name`` with the distribution in any spelling."""
        distribution, colon, bare = name.rpartition(":")
        return self.name == bare and (not colon or self.distribution == canonical_name(distribution))

    @property
    def sort_key(self) -> tuple[str, str, str]:
        """Kind, name and distribution: the order of every listing."""
        return (self.kind.value, self.name, self.distribution)


@attrs.frozen(slots=True)
class Problem:
    """Something wrong with what is installed, as data. ``code`` is stable, ``message`` is for people."""

    code: str
    message: str
    distribution: str | None = None
    kind: PluginKind | None = None
    name: str | None = None


@attrs.frozen(slots=True)
class Catalog:
    """Installed plugins in the order (kind, name, distribution), and what is wrong with what is installed.

    An entry that can never be loaded (illegal name, unknown group, a name that is not its own) is no entry: it is
    a problem.
    """

    entries: tuple[PluginEntry, ...] = ()
    problems: tuple[Problem, ...] = ()

    @classmethod
    def scan(cls, *, groups: Collection[str] | None = None, path: Sequence[str] | None = None) -> Catalog:
        """Read the metadata of everything on ``path`` (default ``sys.path``); ``groups`` keeps only those groups.

        Whatever one distribution's metadata contains, the others are listed: findings go to ``problems``.
        """
        scanner = _Scanner(groups)
        for found in distributions() if path is None else distributions(path=list(path)):
            scanner.visit(found)
        return scanner.catalog()

    def of_kind(self, kind: PluginKind) -> tuple[PluginEntry, ...]:
        """Return the entries of one kind."""
        return tuple(entry for entry in self.entries if entry.kind is kind)


class _Scanner:
    """Collects entries and problems, one distribution at a time, in the order of the import path."""

    def __init__(self, groups: Collection[str] | None) -> None:
        self._groups = groups
        self._first: dict[str, str] = {}
        self._relevant: set[str] = set()
        self._entries: dict[tuple[str, str, str], PluginEntry] = {}
        self._problems: list[Problem] = []

    def visit(self, found: Distribution) -> None:
        """Take in one distribution, unless an earlier one of that name shadows it, as it does for imports."""
        place = place_of(found)
        try:
            text = found.read_text("entry_points.txt") or ""
            relevant = _PREFIX in text
            name = quick_name(found)
        except _METADATA_ERRORS as error:
            self._unreadable(place, error)
            return
        if not self._is_first(name, place, relevant):
            return
        if relevant:
            self._relevant.add(name)
            self._read(found, text, place)

    def catalog(self) -> Catalog:
        """Return what was collected, with clashes between distributions added to the problems."""
        entries = sorted(self._entries.values(), key=lambda entry: entry.sort_key)
        for (kind, name), group in groupby(entries, key=lambda entry: (entry.kind, entry.name)):
            claims = [entry.qualified for entry in group]
            if len(claims) > 1:
                message = f"{kind} {name!r} is claimed more than once; select one of {', '.join(claims)}"
                self._problems.append(Problem("clash", message, None, kind, name))
        problems = sorted(self._problems, key=lambda p: (p.distribution or "", p.code, p.message))
        return Catalog(tuple(entries), tuple(problems))

    def _is_first(self, name: str, place: str, relevant: bool) -> bool:
        if name not in self._first:
            self._first[name] = place
            return True
        first = self._first[name]
        if (relevant or name in self._relevant) and not same_place(first, place):
            message = f"{name} is installed twice: {first} is used, {place} is ignored"
            self._problems.append(Problem("duplicate_distribution", message, name))
        return False

    def _unreadable(self, place: str, error: Exception) -> None:
        self._problems.append(Problem("metadata_unreadable", f"cannot read metadata in {place}: {error}"))

    def _read(self, found: Distribution, text: str, place: str) -> None:
        try:
            facts = read_facts(found)
            for group, name, target in entry_lines(text):
                if group.startswith(_PREFIX) and group not in (COMMANDS_GROUP, TESTED_GROUP):
                    self._add(facts, group, name, target)
        except _METADATA_ERRORS as error:
            self._unreadable(place, error)

    def _add(self, facts: DistributionFacts, group: str, name: str, target: str) -> None:
        if self._groups is not None and group not in self._groups:
            return
        kind = _KIND_OF_GROUP.get(group)
        fault = _fault(kind, group, name, target, facts)
        if fault is None and kind is not None:
            entry = PluginEntry(kind, name, facts.name, facts.version, target, facts.requires_contract)
            if self._entries.setdefault(entry.sort_key, entry) is entry:
                return
            fault = "duplicate_entry", f"names {name!r} twice in {group}; the first is used"
        if fault is not None:
            code, message = fault
            text = f"{facts.name} {facts.version} {message}"
            self._problems.append(Problem(code, text, facts.name, kind, name))


def _fault(
    kind: PluginKind | None, group: str, name: str, target: str, facts: DistributionFacts
) -> tuple[str, str] | None:
    """Say why an entry point can never be loaded, as (code, message); None when nothing speaks against it."""
    if kind is None:
        return "unknown_group", f"uses the entry-point group {group!r}: {_known(group)}"
    if kind in RESERVED_KINDS:
        return "reserved_kind", f"uses {group!r}, which is reserved: nothing loads from it yet"
    try:
        check_plugin_name(name)
    except ValueError as error:
        return "illegal_name", f"has an illegal name in {group}: {error}"
    if not _TARGET.match(target):
        return "illegal_target", f"{kind} {name!r} points to {target!r}, which is not 'module:attribute'"
    if kind is not PluginKind.CONFORMANCE and not may_claim(name, facts.name):
        return "reserved_name", f"claims {kind} {name!r}, a name reserved for the project's own plugins"
    return None


def _known(group: str) -> str:
    """Explain an unknown group: another contract major, or no kind at all."""
    stem, _, major = group.rpartition(".")
    for known in _KIND_OF_GROUP:
        if stem == known.rpartition(".")[0]:
            return f"this host speaks {known}, the plugin was made for contract major {major.lstrip('v')!r}"
    return f"known groups are {', '.join(sorted(_KIND_OF_GROUP))}"
