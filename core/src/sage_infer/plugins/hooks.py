"""Hooks: a typed face over what hook plugins contribute. pluggy stays behind it.

A hook plugin found by the scan that cannot be loaded, or whose function raises, becomes a problem and one warning;
the others still count.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import attrs
import pluggy

from sage_infer_contracts.detection import HardwareDetector
from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.errors import SageInferError, Unsupported
from sage_infer_contracts.kinds import PROJECT_NAME, PluginKind
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.plugins import DoctorLine, Observer, PluginRef, Proposal

from . import hookspecs
from .catalog import Problem
from .hookspecs import HOOK_PREFIX, PROPOSE_HOOKS
from .registry import LoadedPlugin

T = TypeVar("T")
_log = logging.getLogger("sage_infer.plugins")


@attrs.frozen(slots=True)
class FromPlugin(Generic[T]):
    """Something a plugin contributed, and which plugin."""

    ref: PluginRef
    value: T


class Hooks:
    """The hook plugins of one registry. Calls are made at set-up, on one thread."""

    def __init__(self, plugins: Iterable[LoadedPlugin] = ()) -> None:
        self._manager = pluggy.PluginManager(PROJECT_NAME)
        self._manager.add_hookspecs(hookspecs)
        self._refs: dict[str, PluginRef] = {}
        self._problems: list[Problem] = []
        for plugin in sorted(plugins, key=lambda plugin: (plugin.ref.distribution, plugin.ref.name)):
            self._register(plugin)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What went wrong so far: plugins refused, and hook calls that raised or answered nonsense."""
        return tuple(self._problems)

    def plugins(self) -> list[PluginRef]:
        """Return the registered hook plugins, by distribution and name."""
        return list(self._refs.values())

    def detectors(self) -> list[FromPlugin[HardwareDetector]]:
        """Return each plugin's detector. Run them in children: see :meth:`Registry.resolve`."""

        def check(value: Any) -> list[HardwareDetector]:
            lacking = missing_members(value, HardwareDetector)
            if lacking:
                raise TypeError(
                    f"{type(value).__name__} is no HardwareDetector: it lacks {', '.join(lacking)}"
                )
            return [value]

        return self._collect("sage_infer_detector", check)

    def proposals(self, kind: PluginKind, profile: HardwareProfile) -> list[FromPlugin[Proposal]]:
        """Return all proposals of drivers of ``kind``; raises ``Unsupported`` for a kind nobody can propose."""
        if kind not in PROPOSE_HOOKS:
            known = ", ".join(sorted(PROPOSE_HOOKS))
            raise Unsupported(f"{kind.value} plugins are chosen by name only; hooks propose {known}")

        def check(value: Any) -> list[Proposal]:
            proposals = _all(value, Proposal)
            strays = [proposal.name for proposal in proposals if proposal.kind is not kind]
            if strays:
                raise TypeError(f"it proposes {', '.join(strays)} of another kind than {kind.value}")
            return proposals

        return self._collect(PROPOSE_HOOKS[kind], check, profile=profile)

    def observers(self) -> list[Observer]:
        """Return every observer, in the order of the plugins."""

        def check(value: Any) -> list[Observer]:
            wrong = [observer for observer in value if not callable(observer)]
            if wrong:
                raise TypeError(f"{wrong[0]!r} is no observer: it cannot be called")
            return list(value)

        return [contribution.value for contribution in self._collect("sage_infer_observers", check)]

    def doctor_lines(self) -> list[FromPlugin[DoctorLine]]:
        """Return every plugin's findings about itself."""
        return self._collect("sage_infer_doctor", lambda value: _all(value, DoctorLine))

    def record(self, problem: Problem) -> None:
        """Keep ``problem`` and warn once about it."""
        self._problems.append(problem)
        _log.warning("plugin problem: %s", problem.message)

    def _register(self, plugin: LoadedPlugin) -> None:
        identity = f"{plugin.ref.distribution}:{plugin.ref.name}"
        try:
            hash(
                plugin.target
            )  # pluggy keeps plugins in sets; an unhashable one would break calls to the others
            _refuse_what_is_no_hook_plugin(plugin.target)
            self._manager.register(plugin.target, name=identity)
            self._refs[identity] = plugin.ref
            # Checked after each one, so that a misspelt hook is put down to the plugin that has it.
            self._manager.check_pending()
            if not self._manager.get_hookcallers(plugin.target):
                raise TypeError("nothing in it is marked with @hookimpl")
        except Exception as error:  # noqa: BLE001  # boundary: attributes of foreign objects were read
            if self._refs.pop(identity, None) is not None:
                self._manager.unregister(name=identity)
            self._fail(plugin.ref, "hooks_refused", f"is no hook plugin: {error}")

    def _collect(
        self, hook: str, check: Callable[[Any], list[T]], **arguments: object
    ) -> list[FromPlugin[T]]:
        found: list[FromPlugin[T]] = []
        for identity, ref in self._refs.items():
            others = [self._manager.get_plugin(other) for other in self._refs if other != identity]
            # One plugin at a time: pluggy ends a call at the first implementation that raises.
            caller = self._manager.subset_hook_caller(hook, remove_plugins=others)
            try:
                for answer in caller(**arguments):
                    found.extend(FromPlugin(ref, value) for value in check(answer))
            except (Exception, SystemExit) as error:  # noqa: BLE001  # boundary: foreign code ran
                self._fail(ref, "hook_failed", f"failed in {hook}: {type(error).__name__}: {error}")
        return found

    def _fail(self, ref: PluginRef, code: str, what: str) -> None:
        text = f"hooks {ref.name!r} ({ref.distribution} {ref.version}) {what}"
        self.record(Problem(code, text, ref.distribution, PluginKind.HOOKS, ref.name))


def load_failure(ref: PluginRef, error: SageInferError) -> Problem:
    """Return the problem that a failed load of a scanned plugin becomes."""
    return Problem("load_failed", str(error), ref.distribution, ref.kind, ref.name)


def _refuse_what_is_no_hook_plugin(target: object) -> None:
    if inspect.isclass(target) or inspect.isroutine(target):
        raise TypeError("it must be a module or an object with hook functions, not a class or a function")
    marker = f"{PROJECT_NAME}_impl"
    for name in vars(target) if hasattr(target, "__dict__") else ():
        found = vars(target)[name]
        if name.startswith(HOOK_PREFIX) and inspect.isroutine(found) and not hasattr(found, marker):
            raise TypeError(f"{name} has the reserved prefix and is not marked with @hookimpl")


def _all(value: Any, kind: type[T]) -> list[T]:
    items: Sequence[object] = list(value)
    for item in items:
        if not isinstance(item, kind):
            raise TypeError(f"it returned a {type(item).__name__} where {kind.__name__} is due")
    return [item for item in items if isinstance(item, kind)]
