"""Registry: turns a kind and a name into exactly one loaded plugin, or into an error that says why not."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import attrs

from sage_infer_contracts.errors import PluginError, PluginIncompatible, PluginNotFound
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.plugins import PluginRef

from .. import env
from . import errors, loading
from .catalog import Catalog, PluginEntry, Problem

if TYPE_CHECKING:
    from sage_infer_contracts.devices import HardwareProfile

    from .choice import Explanation
    from .hooks import Hooks


@attrs.frozen(slots=True)
class LoadedPlugin:
    """What an entry point resolved to: a factory, a recipe or, for hooks, a module or object."""

    ref: PluginRef
    target: Any
    entry: PluginEntry | None = None
    """Where it came from, for messages; None when it was made by hand."""


class Registry:
    """The plugins this process may use.

    ``allowlist`` holds ``name`` or ``dist:name``; None allows all, and an item that names nothing installed raises
    ``PluginNotFound`` here. With ``autoload`` off no hook loads unless it is on the allowlist; drivers load by name
    as ever. A registry may be shared between threads.
    """

    def __init__(
        self, catalog: Catalog, *, allowlist: frozenset[str] | None = None, autoload: bool = True
    ) -> None:
        self.catalog = catalog
        self.autoload = autoload
        self._allowlist = allowlist
        self._loaded: dict[PluginEntry, LoadedPlugin] = {}
        for item in sorted(allowlist or ()):
            if not any(entry.answers_to(item) for entry in catalog.entries):
                raise errors.unknown_on_allowlist(item, catalog)

    @property
    def allowlist(self) -> frozenset[str] | None:
        """What may load, for a child process to be given the same; None means no restriction."""
        return self._allowlist

    def entries(self, kind: PluginKind | str | None = None) -> tuple[PluginEntry, ...]:
        """Return the allowed plugins of ``kind``, or of every kind."""
        wanted = None if kind is None else PluginKind(kind)
        return tuple(e for e in self.catalog.entries if wanted in (None, e.kind) and self.allows(e))

    def names(self, kind: PluginKind | str) -> list[str]:
        """Return the allowed names of ``kind``, sorted, each once."""
        return sorted({entry.name for entry in self.entries(kind)})

    def allows(self, entry: PluginEntry) -> bool:
        """Say whether the allowlist lets ``entry`` load."""
        return self._allowlist is None or any(entry.answers_to(item) for item in self._allowlist)

    def autoloads(self, entry: PluginEntry) -> bool:
        """Say whether ``entry`` loads without being asked for by name."""
        return self.allows(entry) and (self.autoload or self._allowlist is not None)

    def find(self, kind: PluginKind | str, name: str) -> PluginEntry:
        """Return the one entry called ``name`` or ``dist:name``, importing nothing.

        Raises ``PluginNotFound`` naming what exists, ``PluginConflict`` naming each claimant.
        """
        wanted = _kind(kind)
        found = [entry for entry in self.catalog.of_kind(wanted) if entry.answers_to(name)]
        allowed = [entry for entry in found if self.allows(entry)]
        if not allowed:
            raise errors.not_found(wanted, name, self.catalog, self.names(wanted), blocked=found)
        if len(allowed) > 1:
            raise errors.conflict(wanted, name, allowed)
        return allowed[0]

    def load(self, kind: PluginKind | str, name: str) -> LoadedPlugin:
        """Import the plugin called ``name`` or ``dist:name`` and no other.

        Raises ``PluginNotFound``, ``PluginConflict``, ``PluginIncompatible`` (before anything is imported) or
        ``PluginLoadError``, whose ``__cause__`` is what the plugin raised.
        """
        return self.load_entry(self.find(kind, name))

    def load_entry(self, entry: PluginEntry) -> LoadedPlugin:
        """Import one entry of the catalog; raises as :meth:`load` does."""
        if entry not in self._loaded:
            self._loaded[entry] = LoadedPlugin(ref_of(entry), loading.load_checked(entry), entry)
        return self._loaded[entry]

    def resolve(self, ref: PluginRef) -> LoadedPlugin:
        """Load exactly the plugin that ``ref`` names, in a child process: same distribution, same version (PK-07).

        Raises ``PluginIncompatible`` when another version is installed here, else as :meth:`load`.
        """
        entry = self.find(ref.kind, f"{ref.distribution}:{ref.name}")
        if entry.version != ref.version:
            raise PluginIncompatible(
                f"{ref.kind} {entry.qualified} is version {entry.version} here and {ref.version} in the process "
                "that asked for it; restart so that both see one installation",
                **errors.facts(entry),
            )
        return attrs.evolve(self.load_entry(entry), ref=ref)

    def create(self, kind: PluginKind | str, name: str, *args: object, **options: object) -> Any:
        """Load a driver, call its factory with the given arguments, and check what it made.

        Raises as :meth:`load`, and ``PluginLoadError`` when the factory fails or makes something of the wrong kind.
        Errors of the family that the factory raises pass unchanged.
        """
        return loading.create(self.load(kind, name), args, options)

    @cached_property
    def hooks(self) -> Hooks:
        """The hook plugins that load by themselves; one that fails to load is a problem, not an error."""
        from .hooks import Hooks, load_failure

        loaded: list[LoadedPlugin] = []
        failures: list[Problem] = []
        for entry in filter(self.autoloads, self.catalog.of_kind(PluginKind.HOOKS)):
            try:
                loaded.append(self.load_entry(entry))
            except PluginError as error:
                failures.append(load_failure(ref_of(entry), error))
        hooks = Hooks(loaded)
        for failure in failures:
            hooks.record(failure)
        return hooks

    def choose(self, kind: PluginKind | str, profile: HardwareProfile) -> Explanation:
        """Choose a driver from what hooks propose for ``profile``; ``chosen`` of the result is never None.

        Raises ``PluginNotFound`` that says why each candidate was rejected. The driver is not loaded, and when it
        then fails to load, that is an error: there is no falling back to the second best.
        """
        explanation = self.explain(kind, profile)
        explanation.require()
        return explanation

    def explain(self, kind: PluginKind | str, profile: HardwareProfile) -> Explanation:
        """Return what :meth:`choose` would decide and why, also when nothing can be chosen."""
        from .choice import explain

        return explain(self, _kind(kind), profile)


def ref_of(entry: PluginEntry) -> PluginRef:
    """Return the reference that resolves to ``entry`` in another process."""
    return PluginRef(kind=entry.kind, name=entry.name, distribution=entry.distribution, version=entry.version)


@lru_cache(maxsize=1)
def default_registry() -> Registry:
    """Return the registry of this process: everything installed, under the environment's allowlist and switch."""
    return Registry(Catalog.scan(), allowlist=env.plugin_allowlist(), autoload=env.plugin_autoload())


def _kind(kind: PluginKind | str) -> PluginKind:
    try:
        return PluginKind(kind)
    except ValueError:
        known = ", ".join(member.value for member in PluginKind)
        raise PluginNotFound(f"{kind!r} is not a kind of plugin; kinds are {known}", kind=str(kind)) from None
