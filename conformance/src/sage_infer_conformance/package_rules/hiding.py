"""Makes installed packages invisible to this process, and notes what is looked for in vain."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from types import ModuleType
from typing import Any

from packaging.utils import canonicalize_name


class _Veiled:
    """A finder that does not find what is hidden; everything else it leaves to the one behind it."""

    def __init__(self, finder: Any, modules: Collection[str], gone: Collection[str]) -> None:
        self._finder = finder
        self._modules = modules
        self._gone = gone

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module that is not hidden."""
        if name.partition(".")[0] in self._modules:
            return None
        found: ModuleSpec | None = self._finder.find_spec(name, path, target)
        return found

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterator[Distribution]:
        """Find distributions that are not hidden."""
        behind = getattr(self._finder, "find_distributions", None)
        found: Iterable[Distribution] = (
            () if behind is None else behind(context or DistributionFinder.Context())
        )
        for one in found:
            if canonicalize_name(one.name or "") not in self._gone:
                yield one


class Missed:
    """The last finder: it is asked for what no other has found."""

    def __init__(self) -> None:
        self._modules: dict[str, None] = {}

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Take note."""
        if path is None:
            self._modules[name] = None

    def names(self) -> tuple[str, ...]:
        """Return the top-level modules that were looked for in vain."""
        return tuple(sorted(self._modules))


def watch_misses() -> Missed:
    """Note from now on which modules are looked for in vain."""
    missed = Missed()
    sys.meta_path.append(missed)
    return missed


def hide(modules: Collection[str], gone: Collection[str]) -> None:
    """Hide top-level ``modules`` and the distributions ``gone`` from every later import and look-up."""
    sys.meta_path[:] = [_Veiled(finder, modules, gone) for finder in sys.meta_path]
