"""The load boundary: imports one plugin, and refuses what is too new, broken or of the wrong kind.

This is the one place where a plugin's ``Exception`` and ``SystemExit`` are caught. ``KeyboardInterrupt`` passes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.kinds import CONTRACTS_DISTRIBUTION, PluginKind
from sage_infer_contracts.launch import BackendRecipe
from sage_infer_contracts.membership import PROTOCOL_OF_KIND, missing_members
from sage_infer_contracts.plugins import PluginRef

from . import drivers, errors
from .catalog import PluginEntry

if TYPE_CHECKING:
    from .registry import LoadedPlugin

_RECIPE_KINDS = (PluginKind.BACKEND, PluginKind.EMBEDDING)


def load_checked(entry: PluginEntry) -> object:
    """Import what ``entry`` points to; raises ``PluginIncompatible`` before, ``PluginLoadError`` after importing."""
    check_floor(entry)
    try:
        target = drivers.load_target(entry)
    except (Exception, SystemExit) as error:
        raise errors.load_error(entry, f"failed to load: {type(error).__name__}: {error}") from error
    check_target(entry, target)
    return target


@lru_cache(maxsize=1)
def contracts_version() -> str:
    """Return the version of the installed contracts."""
    return version(CONTRACTS_DISTRIBUTION)


def check_floor(entry: PluginEntry) -> None:
    """Raise ``PluginIncompatible`` when the plugin's metadata asks for other contracts than the installed ones."""
    if not entry.requires_contract:
        return
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        wanted = SpecifierSet(entry.requires_contract)
    except InvalidSpecifier as error:
        raise errors.load_error(entry, f"has an unreadable requirement on the contracts: {error}") from error
    if not wanted.contains(contracts_version(), prereleases=True):
        raise errors.incompatible(entry, contracts_version())


def check_target(entry: PluginEntry, target: object) -> None:
    """Raise ``PluginLoadError`` when what a driver's entry point names cannot be a factory of its kind."""
    protocol = PROTOCOL_OF_KIND.get(entry.kind)
    if protocol is None or (entry.kind in _RECIPE_KINDS and isinstance(target, BackendRecipe)):
        return
    if not callable(target):
        also = " or a BackendRecipe" if entry.kind in _RECIPE_KINDS else ""
        found = type(target).__name__
        raise errors.load_error(entry, f"must name a factory of {protocol.__name__}{also}, found {found}")
    if isinstance(target, type):
        # Properties may be attributes that __init__ sets, so only methods can be missed on a class.
        methods = [
            m for m in missing_members(target, protocol) if not isinstance(vars(protocol)[m], property)
        ]
        if methods:
            raise errors.load_error(entry, f"is no {protocol.__name__}: it lacks {', '.join(methods)}")


def check_driver(kind: PluginKind, driver: object, ref: PluginRef) -> None:
    """Raise ``PluginLoadError`` when ``driver``, made by the factory of ``ref``, is not of its kind. Runs nothing."""
    _check_made(kind, driver, _entry_of(ref))


def create(plugin: LoadedPlugin, args: Sequence[object], options: Mapping[str, object]) -> Any:
    """Call the factory of ``plugin`` and check what it made; see :meth:`Registry.create`."""
    entry = plugin.entry or _entry_of(plugin.ref)
    try:
        driver = plugin.target(*args, **options)
    except SageInferError:
        raise
    except (Exception, SystemExit) as error:
        failure = f"failed to create its driver: {type(error).__name__}: {error}"
        raise errors.load_error(entry, failure) from error
    _check_made(entry.kind, driver, entry)
    return driver


def _check_made(kind: PluginKind, driver: object, entry: PluginEntry) -> None:
    protocol = PROTOCOL_OF_KIND.get(kind)
    lacking = missing_members(driver, protocol) if protocol is not None else []
    if protocol is not None and lacking:
        made = (
            f"made a {type(driver).__name__}, which is no {protocol.__name__}: it lacks {', '.join(lacking)}"
        )
        raise errors.load_error(entry, made)


def _entry_of(ref: PluginRef) -> PluginEntry:
    """Return what is known of a plugin from its reference alone."""
    return PluginEntry(ref.kind, ref.name, ref.distribution, ref.version, "its factory", None)
