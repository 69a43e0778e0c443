"""Whether a backend can run on this machine, and what is missing; nothing is started, no framework is imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version
from pydantic import ValidationError

from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.kinds import TESTED_GROUP, PluginKind
from sage_infer_contracts.launch import BackendRecipe, VersionWindow
from sage_infer_contracts.plugins import PluginRef
from sage_infer_contracts.wire import FrozenModel

from .. import env
from ..hal import bounded
from .launch_checks import unmet_demands

if TYPE_CHECKING:
    from sage_infer.hal import Detection
    from sage_infer.plugins import Registry

_AT_ONCE = 4
_LIMIT_BYTES = 2**20


class Readiness(FrozenModel):
    """``missing`` says in sentences what keeps a backend from running here; empty: nothing that is known of does."""

    hardware: str | None = None
    """What it runs on; None: the engine decides."""
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is missing."""
        return not self.missing


def readiness(refs: Sequence[PluginRef], detection: Detection, *, timeout_s: float = 20.0) -> list[Readiness]:
    """Examine each backend in a child process of its own; ``detection`` says what hardware there is."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        found = list(threads.map(lambda ref: _ask(ref, timeout_s), refs))
    return [_with_hardware(one, detection) for one in found]


def _ask(ref: PluginRef, timeout_s: float) -> Readiness:
    outcome = bounded.run(
        [sys.executable, "-P", "-m", "sage_infer.backends.readiness"],
        timeout_s=timeout_s,
        limit_bytes=_LIMIT_BYTES,
        environment=env.child_environment({}),
        standard_input=ref.model_dump_json().encode(),
    )
    if outcome.failure is not None:
        return Readiness(missing=(f"loading it {outcome.failure}",))
    try:
        return Readiness.model_validate_json(outcome.stdout.splitlines()[-1] if outcome.stdout else "")
    except ValidationError:
        return Readiness(missing=("loading it ended without an answer",))


def examine(ref: PluginRef, registry: Registry) -> Readiness:
    """Load one backend's entry module, and look at what it says it needs."""
    try:
        target = registry.resolve(ref).target
    except SageInferError as error:
        return Readiness(missing=(str(error),))
    windows = _windows(ref.distribution)
    problems = list(_problems(ref.distribution))
    if not isinstance(target, BackendRecipe):
        return Readiness(missing=tuple(problems))
    # A vendor's package adapts one framework per engine: it can do with one of them, and not with none.
    needed = [] if any(map(_installed, windows)) else problems
    missing = [*needed, *_of_engine(target, ref.kind, registry)]
    if target.device_runtime is not None and target.device_runtime not in registry.names(PluginKind.DEVICE):
        missing.append(f"the device runtime {target.device_runtime!r} is not installed")
    notes = tuple(problem for problem in problems if problem not in missing)
    return Readiness(hardware=target.hardware, missing=tuple(dict.fromkeys(missing)), notes=notes)


def _of_engine(recipe: BackendRecipe, kind: PluginKind, registry: Registry) -> Iterator[str]:
    """Say what is missing for the engine that would be taken: the first installed one."""
    installed = [name for name in recipe.engines if name in registry.names(kind) or ":" in name]
    if not installed:
        yield (
            f"none of its engines is installed ({', '.join(recipe.engines)}); "
            f"pip install sage-infer-{recipe.engines[0]}"
        )
        return
    try:
        engine = registry.find(kind, installed[0])
    except SageInferError as error:
        yield str(error)
        return
    yield from _problems(engine.distribution)
    plan = recipe.launch_plan
    if plan is not None and plan.engine in (None, engine.name):
        yield from map(str, unmet_demands(plan))


def _windows(package: str) -> list[VersionWindow]:
    """Return the versions of other distributions that a package says it was tested with (PK-06)."""
    try:
        entries = [one for one in distribution(package).entry_points if one.group == TESTED_GROUP]
    except PackageNotFoundError:
        return []
    loaded = (entry.load() for entry in entries)
    return [window for window in loaded if isinstance(window, VersionWindow)]


def _problems(package: str) -> Iterator[str]:
    """Say which of those distributions are missing or outside the tested versions."""
    for window in _windows(package):
        if (problem := _problem(window)) is not None:
            yield f"{package}: {problem}"


def _installed(window: VersionWindow) -> bool:
    try:
        version(window.distribution)
    except PackageNotFoundError:
        return False
    return True


def _problem(window: VersionWindow) -> str | None:
    wanted = f"{window.distribution} >= {window.minimum}" + (f", < {window.below}" if window.below else "")
    try:
        found = version(window.distribution)
    except PackageNotFoundError:
        return f"{window.distribution} is not installed; tested with {wanted}"
    try:
        inside = Version(found) >= Version(window.minimum)
        inside = inside and (window.below is None or Version(found) < Version(window.below))
    except InvalidVersion as error:
        return f"{window.distribution}: {error}"
    return None if inside else f"{window.distribution} is {found}; tested with {wanted}"


def _with_hardware(one: Readiness, detection: Detection) -> Readiness:
    if one.hardware is None:
        return one
    reports = [run.report for run in detection.runs if run.report.hardware_backend == one.hardware]
    if any(report.accelerators for report in reports):
        notes = tuple(report.reason for report in reports if report.reason)
        return one.model_copy(update={"notes": (*one.notes, *notes)})
    if not reports:
        why = f"no detector for {one.hardware} is installed, so nothing says whether one is here"
        return one.model_copy(update={"notes": (*one.notes, why)})
    states = "; ".join(report.reason or report.state for report in reports)
    return one.model_copy(update={"missing": (f"no {one.hardware} device: {states}", *one.missing)})


def main() -> None:
    """Answer the plugin reference on stdin with a readiness on stdout."""
    from sage_infer.plugins import default_registry

    question: Mapping[str, object] = json.loads(sys.stdin.buffer.read())
    found = examine(PluginRef.model_validate(question), default_registry())
    sys.stdout.write("\n" + found.model_dump_json() + "\n")


if __name__ == "__main__":
    main()
