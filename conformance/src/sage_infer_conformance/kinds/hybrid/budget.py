"""HB-02: memory, by what the process really holds and by what the hybrid says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sage_infer_contracts.errors import CapacityExceeded, Unsupported

from ...history.steps import Raised
from ...judging.rules import REFUSED, Check, check
from .model import HybridModel
from .steps import HybridStep, Load, Seen, Unload

SLACK_BYTES, SLACK_SHARE = 8 * 1024**2, 0.02
"""What the process may hold beyond models and budget: pages that an allocator keeps, requests, the run itself."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_MIB = 1024**2


def _slack(model: HybridModel, models: int) -> float:
    total = model.seen.total_bytes if model.seen is not None else 0
    overhead = model.about.overhead_bytes if model.about is not None else 0
    return SLACK_BYTES + SLACK_SHARE * total + overhead * models


def never_exceeded(model: HybridModel, step: HybridStep) -> Iterator[Check]:
    """Compare what the process held at most during the step with the budget."""
    if model.baseline is None or step.memory is None or model.seen is None or step.command.op == "calibrate":
        return
    most = len(model.seen.models) + (len(step.command.models) if isinstance(step.command, Load) else 0)
    held, budget = step.memory.peak - model.baseline, model.seen.total_bytes
    says = f"models held {held / _MIB:.0f} MiB of a budget of {budget / _MIB:.0f} MiB during: {step.command.story()}"
    yield check(held <= budget + _slack(model, most), says)


def consistent(seen: Seen) -> Iterator[Check]:
    """Hold what is listed, budgeted and available against each other."""
    names = [model.name for model in seen.models]
    yield check(len(set(names)) == len(names), f"a model is listed twice: {names}")
    given = sum(model.budget_bytes for model in seen.models)
    total = seen.total_bytes
    yield check(given <= total * 1.000001, f"the models listed have {given} bytes, and the budget is {total}")
    yield check(0 <= seen.available_bytes <= total, f"{seen.available_bytes} bytes of {total} are available")
    for model in seen.models:
        if model.state == "ready":
            yield check(model.held_bytes is not None, f"{model.name} is ready, and its memory is not told")
    held = sum(model.held_bytes or 0 for model in seen.models)
    says = f"{seen.available_bytes} bytes are said to be available, and the models hold {held} of {total}"
    yield check(seen.available_bytes + held <= total + SLACK_BYTES + SLACK_SHARE * total, says)


def managed(model: HybridModel, step: HybridStep) -> Iterator[Check]:
    """Judge loads and unloads themselves."""
    command = step.command
    if not isinstance(command, (Load, Unload)):
        return
    if not model.manages:
        yield from _undeclared(step)
    elif isinstance(command, Load):
        yield from _loads(model, step, command)
    elif any(loaded.name == command.model for loaded in model.loaded()):
        yield check(step.error is None, f"unloading {command.model}, which nobody uses, raises {step.error}")
        left = [loaded.name for loaded in step.seen.models] if step.seen is not None else []
        yield check(
            step.error is not None or command.model not in left, f"{command.model} is listed after its unload"
        )


def _undeclared(step: HybridStep) -> Iterator[Check]:
    for error in step.errors or (step.error,):
        refused = error is not None and error.code == Unsupported.code
        yield (
            REFUSED
            if refused
            else check(False, f"hybrid.model_lifecycle is not declared, and: {step.story()}")
        )


def _loads(model: HybridModel, step: HybridStep, command: Load) -> Iterator[Check]:
    listed = {loaded.name: loaded for loaded in step.seen.models} if step.seen is not None else {}
    refused = sum(error is not None for error in step.errors)
    for wanted, error in zip(command.models, step.errors, strict=False):
        if error is None and len(step.errors) == 1:  # of several at once, one may have made room for another
            yield check(wanted.name in listed, f"{wanted.name} was loaded, and is not listed")
        elif error is not None and wanted.name not in {loaded.name for loaded in model.loaded()}:
            yield from _refusal(wanted.name, error)
            fitted = (
                len(step.errors) == 1
                and not model.loaded()
                and (wanted.type, wanted.percent) in model.fitting
            )
            yield check(
                not fitted, f"nothing is loaded, and a model like one that fitted before is refused: {error}"
            )
            yield check(wanted.name not in listed, f"{wanted.name} was refused, and is listed")
    if step.memory is None:
        return
    grown = step.memory.after - step.memory.before
    if refused == len(command.models):
        work = step.memory.peak - step.memory.before
        yield check(work <= SLACK_BYTES, f"a load that was refused had taken {work / _MIB:.0f} MiB before")
    elif len(command.models) == 1 and model.baseline is not None and listed:
        held = listed[command.models[0].name].held_bytes if command.models[0].name in listed else None
        says = f"{command.models[0].name} says that it holds {held} bytes, and the process grew by {grown}"
        yield check(held is None or grown <= held * 1.25 + _slack(model, 1), says)


def _refusal(name: str, error: Raised) -> Iterator[Check]:
    yield check(error.code == CapacityExceeded.code, f"loading {name} raises {error}")
    shown = len(set(_NUMBER.findall(error.message.replace(name, ""))))
    yield check(
        shown >= 2, f"the refusal of {name} does not show what is needed and what is there: {error.message!r}"
    )
