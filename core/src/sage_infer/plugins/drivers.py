"""Loads one entry point through stevedore. No other module knows that stevedore exists.

What stevedore does that this avoids, each confirmed by running it: it imports every same-named candidate; its
conflict resolver misses duplicates that are not adjacent; ``DriverManager.driver`` hands out the class when the
object is falsy; its cache on disk serves stale entry points.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import NoReturn

from stevedore.named import NamedExtensionManager

from .catalog import PluginEntry


class _ResolvedManager(NamedExtensionManager):  # type: ignore[misc,type-arg,unused-ignore]  # some releases are untyped
    """Knows exactly one entry point, which our own metadata scan resolved."""

    def __init__(self, entry_point: EntryPoint) -> None:
        # Set on the instance, this hides the class attribute of the same name: neither the disk cache behind it nor
        # state shared with other users of stevedore in this process is touched, so no lock is held during imports.
        self.ENTRY_POINT_CACHE = {entry_point.group: [entry_point]}
        super().__init__(entry_point.group, [entry_point.name], on_load_failure_callback=_reraise)


def _reraise(_manager: object, _entry_point: EntryPoint, error: BaseException) -> NoReturn:
    raise error


def load_target(entry: PluginEntry) -> object:
    """Import what ``entry`` points to and return it, falsy or not. Whatever the import raises escapes."""
    manager = _ResolvedManager(EntryPoint(entry.name, entry.target, entry.kind.group))
    plugin: object = manager[entry.name].plugin
    return plugin
