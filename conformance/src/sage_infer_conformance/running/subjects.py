"""Finds the subject by the name a user types. Imports it, so this is called in a child process only."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import reduce
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path
from typing import cast, get_args

import attrs

from sage_infer_contracts.errors import InvalidRequest, PluginConflict, PluginLoadError, PluginNotFound
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.membership import PROTOCOLS, missing_members
from sage_infer_contracts.testing import PROTOCOL_OF_SUBJECT, Subject, SubjectKind

from .names import FullName

_DRIVERS: dict[SubjectKind, PluginKind] = {
    "eviction": PluginKind.EVICTION,
    "kv_tier": PluginKind.KV_TIER,
    "transport": PluginKind.TRANSPORT,
    "backend": PluginKind.BACKEND,
    "embedding": PluginKind.EMBEDDING,
}
"""Kinds whose driver's entry point is enough: its factory is called as the contract says."""


@attrs.frozen(slots=True)
class Found:
    """A subject and where it came from."""

    subject: Subject
    target: str
    distribution: Distribution | None = None

    @property
    def record_digest(self) -> str | None:
        """SHA-256 of the distribution's RECORD, which lists a digest of every installed file."""
        record = self.distribution.read_text("RECORD") if self.distribution is not None else None
        return hashlib.sha256(record.encode()).hexdigest() if record else None


def find_subject(name: str, kind: SubjectKind | None = None) -> Found:
    """Return what ``name`` means: ``./file.py:attr``, ``module:attr``, or an entry point, ``dist:name`` included.

    After a ``?`` stand options for it and where it is to run (:mod:`.names`). Raises ``PluginNotFound``,
    ``PluginConflict``, ``PluginLoadError`` or ``InvalidRequest``.
    """
    full = FullName.read(name)
    found = _find(full.bare, kind or _known_kind(full.kind))
    if not full.options and full.device is None:
        return found
    subject = found.subject
    facts = dict(subject.facts)
    if full.device is not None:
        facts["device"] = full.device
    changed = attrs.evolve(subject, options={**subject.options, **full.options}, facts=facts)
    return attrs.evolve(found, subject=changed)


def _find(name: str, kind: SubjectKind | None) -> Found:
    entry = _entry_point(name, kind)
    if entry is not None:
        found_kind, point = entry
        loaded = _guarded(point.load, name)
        if found_kind is None and isinstance(loaded, Subject) and kind not in (None, loaded.kind):
            # One name for two kinds, as a backend and an embedding often have: the driver of the kind asked for.
            found_kind, point = _entry_point(name, kind, own=False) or entry
            loaded = _guarded(point.load, name)
        return Found(_as_subject(loaded, kind or found_kind, name), point.value, point.dist)
    place, colon, attribute = name.rpartition(":")
    if not colon or not all(part.isidentifier() for part in attribute.split(".")):
        raise PluginNotFound(
            f"no conformance subject or driver is called {name!r}; {_what_exists()}", name=name
        )
    module = _guarded(lambda: _import(place), name)
    try:
        loaded = reduce(getattr, attribute.split("."), module)
    except AttributeError as error:
        raise PluginNotFound(f"{place} has no attribute {attribute!r}", name=name, target=name) from error
    return Found(_as_subject(loaded, kind, name), name)


def list_entry_points() -> list[tuple[str, SubjectKind | None, EntryPoint]]:
    """Return every name that can be run, its kind where that is known without importing it, and where it is."""
    points: list[tuple[str, SubjectKind | None, EntryPoint]] = [
        (point.name, None, point) for point in entry_points(group=PluginKind.CONFORMANCE.group)
    ]
    for kind, plugin_kind in _DRIVERS.items():
        points += [(point.name, kind, point) for point in entry_points(group=plugin_kind.group)]
    return sorted(points, key=lambda item: (item[0], item[1] or ""))


def _entry_point(
    name: str, kind: SubjectKind | None, *, own: bool = True
) -> tuple[SubjectKind | None, EntryPoint] | None:
    """Return the one entry point that ``name`` means; ``own`` prefers what its author made for the kit."""
    distribution, _, bare = name.rpartition(":")
    matching = [
        (known, point)
        for found, known, point in list_entry_points()
        if found == bare
        and (not distribution or (point.dist is not None and point.dist.name == distribution))
        and (kind is None or known in (None, kind))
    ]
    made = [item for item in matching if item[0] is None]
    drivers = [item for item in matching if item[0] is not None]
    chosen = (made or drivers) if own else drivers
    places = sorted(
        {f"{item[0] or 'subject'} {item[1].dist.name if item[1].dist else '?'}:{bare}" for item in chosen}
    )
    if len(places) > 1:
        raise PluginConflict(
            f"{name!r} is ambiguous: {', '.join(places)}; give --kind or DISTRIBUTION:NAME", name=name
        )
    return chosen[0] if chosen else None


def _import(place: str) -> object:
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = Path(place).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _guarded(load: Callable[[], object], name: str) -> object:
    try:
        return load()
    except (Exception, SystemExit) as error:
        raise PluginLoadError(
            f"{name} failed while it was imported: {type(error).__name__}: {error}", name=name
        ) from error


def _as_subject(loaded: object, kind: SubjectKind | None, name: str) -> Subject:
    if isinstance(loaded, Subject):
        if kind not in (None, loaded.kind):
            raise InvalidRequest(f"{name} is a subject of kind {loaded.kind}, not {kind}", param="kind")
        return loaded
    if not callable(loaded):
        raise InvalidRequest(f"{name} is neither a Subject nor something that makes one", param="subject")
    return Subject(kind or _guess(loaded, name), loaded)


def _guess(loaded: object, name: str) -> SubjectKind:
    fitting = [
        kind
        for kind, protocol in PROTOCOL_OF_SUBJECT.items()
        if not missing_members(loaded, PROTOCOLS[protocol])
    ]
    if len(fitting) != 1:
        kinds = ", ".join(get_args(SubjectKind))
        raise InvalidRequest(
            f"what kind of subject {name} makes is not told; give --kind, one of {kinds}", param="kind"
        )
    return fitting[0]


def _what_exists() -> str:
    names = sorted({name for name, _, _ in list_entry_points()})
    return f"installed: {', '.join(names)}" if names else "nothing that can be judged is installed"


def _known_kind(kind: str | None) -> SubjectKind | None:
    for known in get_args(SubjectKind):
        if known == kind:
            return cast(SubjectKind, known)
    if kind is not None:
        raise InvalidRequest(
            f"{kind!r} is no kind of subject; kinds: {', '.join(get_args(SubjectKind))}", param="kind"
        )
    return None
