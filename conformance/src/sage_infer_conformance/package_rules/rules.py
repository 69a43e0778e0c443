"""PK-01 to PK-03 and PK-05 to PK-07, each a pure function of the facts about an installed package."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from sage_infer_contracts.errors import DeviceUnavailable
from sage_infer_contracts.kinds import CONTRACTS_DISTRIBUTION, TESTED_GROUP

from ..judging.rules import Check, Rule, Stated, broken, check
from .facts import Origin, PackageFacts, Window
from .frameworks import HEAVY_DISTRIBUTIONS, is_vendor_bound
from .metadata import all_requirements, requirements

_FLOORS = frozenset({">=", ">"})
_NO_CAPS = _FLOORS | {"!="}
_INSTALL = re.compile(r"\binstall(ing)?\s+\S", re.IGNORECASE)


def metadata_complete(_: object, facts: PackageFacts) -> Iterable[Check]:
    """PK-01."""
    found = facts.metadata
    fields = {
        "Name": found.name,
        "Summary": found.summary,
        "License": found.license,
        "Version": _readable(found.version, Version),
        "Requires-Python": _readable(found.requires_python, SpecifierSet),
    }
    for label, value in fields.items():
        yield check(value is not None, f"{facts.distribution}: its metadata has no valid {label}")
    yield from _contracts_floor(facts)
    for entry in facts.loading.entries:
        yield check(entry.error is None, f"the entry point {entry} does not resolve: {entry.error}")


def _readable(text: str | None, parse: type[Version] | type[SpecifierSet]) -> str | None:
    try:
        parse(text or "no version")
    except (InvalidVersion, InvalidSpecifier):
        return None
    return text


def _contracts_floor(facts: PackageFacts) -> Iterator[Check]:
    needs = [
        r
        for r in requirements(facts.metadata.requires)
        if canonicalize_name(r.name) == CONTRACTS_DISTRIBUTION
    ]
    if not needs:
        yield broken(f"{facts.distribution} does not require {CONTRACTS_DISTRIBUTION}")
    for need in needs:
        operators = {part.operator for part in need.specifier}
        if need.url is not None or operators - _NO_CAPS:
            yield broken(f"{str(need)!r} caps or pins the contracts: a newer minor could not be installed")
        else:
            yield check(
                bool(operators & _FLOORS), f"{str(need)!r} sets no floor: an old contract would be accepted"
            )


def light_entry_module(_: object, facts: PackageFacts) -> Iterable[Check]:
    """PK-02."""
    for entry in facts.loading.entries:
        yield check(not entry.heavy, f"loading {entry} imports {', '.join(entry.heavy)}")


def works_without_sdk(_: object, facts: PackageFacts) -> Iterable[Check]:
    """PK-03: with nothing but hard requirements installed it loads, and then works or says what to install."""
    bound = sorted({n for r in requirements(facts.metadata.requires) if is_vendor_bound(n := _name(r))})
    yield check(not bound, f"{', '.join(bound)} does not install on every machine: make it an extra")
    bare = facts.bare
    yield check(bare.refusal is None, f"without extras it cannot be loaded: {bare.refusal}")
    if bare.refusal is not None:
        return
    error = bare.error
    if error is not None and error.code == DeviceUnavailable.code:
        wanted = _installable(facts)
        says = f"DeviceUnavailable does not say what to install: {error.message!r}"
        yield check(not wanted or _names_one(error.message, wanted), says)
    else:
        same = error is None or bare.same_end(facts.starts.use)
        yield check(same, f"without extras using it raises {error}, and not DeviceUnavailable")


def _installable(facts: PackageFacts) -> set[str]:
    """Return what a message may name: requirements of extras, extras themselves, and modules looked for in vain."""
    extras = [r for r in all_requirements(facts.metadata.requires) if r.marker and "extra" in str(r.marker)]
    own = _name_of(facts.distribution)
    return {*map(_name, extras), *facts.bare.missing, *([f"{own}["] if extras else [])}


def _names_one(message: str, names: Iterable[str]) -> bool:
    spelled = {re.escape(form) for name in names for form in (name, name.replace("-", "_"))}
    found = (
        re.search(rf"(?<![\w-])({'|'.join(sorted(spelled))})", message, re.IGNORECASE) if spelled else None
    )
    return found is not None or _INSTALL.search(message) is not None


def safe_to_start(_: object, facts: PackageFacts) -> Iterable[Check]:
    """PK-05: what works in one process works in those that it starts, by spawn and by fork-server."""
    starts = facts.starts
    for start in starts.started:
        here = starts.use.refusal or starts.use.error or "no error"
        there = start.use.refusal or start.use.error or "no error"
        says = f"a process started by {start.method} ends with {there}; the one that started it with {here}"
        yield check(start.use.same_end(starts.use), says)
    says = f"it changes how this process starts others: {starts.default_before} became {starts.default_after}"
    yield check(starts.default_before == starts.default_after, says)


def declares_tested_versions(_: object, facts: PackageFacts) -> Iterable[Check]:
    """PK-06: a window for each framework that its metadata names, true of the one installed here."""
    windows = {_name_of(window.name): window for window in facts.loading.windows}
    adapted = {_name(r) for r in all_requirements(facts.metadata.requires)} & HEAVY_DISTRIBUTIONS
    for name in sorted(adapted):
        says = f"{facts.distribution} adapts {name} and has no entry point {name!r} in {TESTED_GROUP}"
        yield check(name in windows, says)
    if not adapted:
        loaded = facts.starts.use.heavy
        says = f"{facts.distribution} runs on {', '.join(loaded)} and declares no tested version of it"
        yield check(not loaded or bool(windows), says)
    for window in windows.values():
        yield check((fault := _fault_of(window, facts)) is None, f"the window {window.name!r} {fault}")


def _fault_of(window: Window, facts: PackageFacts) -> str | None:
    declared = window.declared
    if declared is None:
        return "does not resolve to a VersionWindow"
    if _name_of(declared.distribution) != _name_of(window.name):
        return f"is about {declared.distribution}"
    if declared.below is None:
        return "has no upper end: what is not released yet was not tested"
    try:
        lowest, below = Version(declared.minimum), Version(declared.below)
        installed = None if window.installed is None else Version(window.installed)
    except InvalidVersion as error:
        return f"cannot be read: {error}"
    if lowest >= below:
        return f"is empty: {lowest} is not below {below}"
    if installed is not None and not lowest <= installed < below:
        return f"is {lowest} to below {below}, and {installed} is what it runs with here"
    refused = [
        str(need)
        for need in all_requirements(facts.metadata.requires)
        if _name(need) == _name_of(window.name) and not need.specifier.contains(lowest, prereleases=True)
    ]
    return f"begins at {lowest}, which {refused[0]!r} rules out" if refused else None


def runs_what_was_named(_: object, facts: PackageFacts) -> Iterable[Check]:
    """PK-07."""
    named, _colon, name = facts.subject.rpartition(":")
    if named:
        says = f"{named} was named, and {facts.distribution} was found"
        yield check(_name_of(named) == _name_of(facts.distribution), says)
    else:
        says = f"{name!r} is claimed by {', '.join(facts.claims)}: the bare name means none of them"
        yield check(len(facts.claims) <= 1, says)
    use = facts.starts.use
    if use.module is not None and use.module.file is not None:
        yield _is_own(use.module, facts, strangers=False)
    if use.made is not None and use.made.file is not None:
        yield _is_own(use.made, facts, strangers=True)
    if use.made is not None:
        yield check(use.unlike_driver is None, use.unlike_driver or "")


def _is_own(origin: Origin, facts: PackageFacts, *, strangers: bool) -> Check:
    """Code is the named package's own, or a library's that it requires; never that of another package of drivers.

    ``strangers`` allows files that no package installed, as code that is written while it runs.
    """
    own = _name_of(facts.distribution)
    mine = [owner for owner in origin.owners if owner.name == own]
    if mine or (strangers and not origin.owners):
        changed = any(owner.has_changed for owner in mine)
        return check(not changed, f"{origin.what}: {origin.file} is not the file that {own} installed")
    if not origin.owners:
        return broken(f"{origin.what} comes from {origin.file}, which {own} did not install")
    others = ", ".join(owner.name for owner in origin.owners)
    library = any(owner.is_required and not owner.publishes_drivers for owner in origin.owners)
    return check(library, f"{own} was named, and {origin.what} is what runs: it belongs to {others}")


def _name(requirement: Requirement) -> str:
    return _name_of(requirement.name)


def _name_of(name: str) -> str:
    return str(canonicalize_name(name))


INSTALLED_RULES = (
    Rule("PK-01", "exact", 7, metadata_complete, of="package"),
    Rule("PK-02", "exact", 1, light_entry_module, of="package"),
    Rule("PK-03", "sampled", 3, works_without_sdk, of="package"),
    Rule("PK-06", "exact", 1, declares_tested_versions, of="package"),
    Rule("PK-07", "sampled", 2, runs_what_was_named, of="package"),
)
"""Rules that need an installed distribution. PK-05 is judged while histories are played, and here once more."""

_NOTHING_INSTALLED = (
    "the subject was named by where it stands in the source, so there is no package to look at"
)
UNINSTALLED = tuple(Stated(rule.clause, _NOTHING_INSTALLED) for rule in INSTALLED_RULES)
