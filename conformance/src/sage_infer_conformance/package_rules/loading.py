"""Loads every entry point of a distribution in this process, which is fresh."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, packages_distributions, version

from sage_infer_contracts.kinds import TESTED_GROUP
from sage_infer_contracts.launch import BackendRecipe, VersionWindow

from ..history.steps import Raised
from .facts import Entries, Entry, Window
from .frameworks import HEAVY_MODULES
from .metadata import GROUP_PREFIX
from .recipes import read_recipe


def load_entries(name: str) -> Entries:
    """Load what ``name`` publishes for this project, and say what each import brought along."""
    points = sorted(distribution(name).entry_points, key=lambda point: (point.group, point.name))
    loaded = [_load(point) for point in points if point.group.startswith(GROUP_PREFIX)]
    return Entries(
        entries=tuple(entry for entry, _ in loaded),
        windows=tuple(_window(entry.name, found) for entry, found in loaded if entry.group == TESTED_GROUP),
        recipes=tuple(
            read_recipe(entry, found, name) for entry, found in loaded if isinstance(found, BackendRecipe)
        ),
    )


def _load(point: EntryPoint) -> tuple[Entry, object]:
    before = set(sys.modules)
    found: object = None
    error: Raised | None = None
    try:
        found = point.load()
    except (Exception, SystemExit) as failure:  # noqa: BLE001 - a module may fail in any way while it is imported
        error = Raised.of(failure)
    heavy = {module.partition(".")[0] for module in set(sys.modules) - before} & HEAVY_MODULES
    entry = Entry(
        group=point.group, name=point.name, value=point.value, heavy=tuple(sorted(heavy)), error=error
    )
    return entry, found


def _window(name: str, found: object) -> Window:
    declared = found if isinstance(found, VersionWindow) else None
    return Window(name=name, declared=declared, installed=_installed(name))


def _installed(name: str) -> str | None:
    """Return the installed version of a distribution, or of the one that brings the module of that name."""
    builds = packages_distributions().get(name.replace("-", "_"), [])
    for candidate in (name, *builds):
        try:
            return version(candidate)
        except PackageNotFoundError:
            continue
    return None
