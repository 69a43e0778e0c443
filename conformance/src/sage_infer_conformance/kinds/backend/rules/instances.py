"""What an instance does as a whole: IB-09 (quantisation) and IB-10 (closing)."""

from __future__ import annotations

from collections.abc import Iterable

from ....judging.rules import HELD, REFUSED, Check, broken, check
from ..findings import Outcome
from ..model import BackendModel
from ..steps import BackendStep, Close, Quantise, Serve

_ENOUGH = 6
"""Outputs that must all be unchanged before weights count as unchanged."""


def quantisation_is_real(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-09."""
    command = step.command
    if isinstance(command, Quantise):
        if step.error is not None:
            says = f"{command.story()}: {step.error}; a profile changes the weights or raises Unsupported"
            yield REFUSED if step.error.code == "unsupported" else broken(says)
        return
    if not isinstance(command, Serve) or model.weights == model.LOADED:
        return
    calls = {call.name: call for call in command.calls}
    pairs = []
    for outcome in step.outcomes:
        call = calls[outcome.call]
        before = model.known.get((model.LOADED, call.prompts[0].key(), call.params.model_dump_json()))
        if before is not None and not call.split and outcome.finish is not None:
            pairs.append((before, outcome))
    if len(pairs) >= _ENOUGH:
        changed = sum(_differ(before, now, model.epsilon) for before, now in pairs)
        yield check(
            changed > 0, f"{len(pairs)} outputs and their log-probabilities are what they were before"
        )


def _differ(before: Outcome, now: Outcome, slack: float) -> bool:
    if before.tokens != now.tokens:
        return True
    return any(
        abs(a.logprob - b.logprob) > slack for a, b in zip(before.logprobs, now.logprobs, strict=False)
    )


def closes_for_good(_: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-10."""
    if not isinstance(step.command, Close):
        return
    if step.error is not None:
        yield broken(f"close: {step.error}")
    found = step.closing
    if found is None:
        return
    yield check(not found.hung, "close has no end")
    yield check(found.second is None, f"of two closes one raises {found.second}")
    yield check(found.health == "closed", f"health says {found.health!r} after close")
    refused = found.refused is not None and found.refused.code == "backend_unavailable"
    yield check(
        refused, f"generate after close: {found.refused or 'it is accepted'}; BackendUnavailable is due"
    )
    yield check(not found.threads, f"threads are left: {', '.join(found.threads)}")
    yield check(not found.child_processes, f"{found.child_processes} processes are left")
    yield check(found.open_files <= 0, f"{found.open_files} files more are open than after the first close")
    for outcome in found.pending:
        yield _failed(outcome)


def _failed(outcome: Outcome) -> Check:
    name = outcome.stream or outcome.call
    if outcome.hung:
        return broken(f"{name} was pending, and its stream has no end after close")
    if outcome.error is None:
        return broken(f"{name} was pending and ended by {outcome.finish}; an error is due")
    return (
        HELD
        if outcome.error.code is not None
        else broken(f"{name} was pending and failed by {outcome.error}")
    )
