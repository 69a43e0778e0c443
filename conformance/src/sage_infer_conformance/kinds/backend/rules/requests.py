"""How requests are treated: IB-03 (limits), IB-04 (cancel), IB-12 (side by side), IB-14 (capabilities)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

from sage_infer_contracts.capabilities import Capability

from ....judging.rules import HELD, REFUSED, Check, broken, check
from ..asks import Call
from ..comparing import pairs_of
from ..findings import Cancelled, Outcome
from ..model import BackendModel
from ..steps import (
    BackendStep,
    CancelParked,
    Contend,
    Decode,
    HandOver,
    Open,
    Prefill,
    Quantise,
    Release,
    Serve,
    TimeReuse,
)
from .outputs import answered, ends_alike, near_ties, seeded

TOKENS_AFTER_CANCEL = 16
STEPS_AFTER_CANCEL = 48
"""What an engine may still do for a request that is cancelled: steps that are planned ahead or on their way."""
_MANY = 16
_STARVED_SHARE = 0.9
"""Who is overtaken by this share of at least so many later arrivals starves."""
_LONG_RATIO = 8
_TELLING_TOKENS = 3
_ALIKE = 1e-6
"""Log-probabilities of so many tokens that differ by less than this were computed from the same tokens."""


def limits_are_enforced(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-03."""
    about, command = model.about, step.command
    if not isinstance(command, Serve) or about is None:
        return
    yield check(
        step.most_running <= about.max_batch_size,
        f"{step.most_running} sequences ran at once; max_batch_size is {about.max_batch_size}",
    )
    refused = 0
    for call in command.calls:
        mine = [outcome for outcome in step.outcomes if outcome.call == call.name]
        refused += bool(mine and mine[0].error is not None and not mine[0].began)
        if not any(_undeclared(model, call)):
            yield from _within_limits(model, call, mine)
    yield from _reads_whole_prompts(step)
    if refused == len(command.calls) and step.before is not None and step.after is not None:
        done = step.after.computed_tokens - step.before.computed_tokens
        yield check(done == 0, f"{done} prompt tokens were computed for calls that were all refused")


def _within_limits(model: BackendModel, call: Call, mine: list[Outcome]) -> Iterable[Check]:
    about = model.about
    assert about is not None
    if not mine:
        return
    first, error = mine[0], mine[0].error
    asked = call.params.max_tokens or 1
    longest = max(first.lengths or (len(first.prompt_ids),)) + asked
    count, bound, queue = len(call.prompts) * call.params.n, about.max_live, first.queue
    if longest > about.max_sequence_length:
        yield _refused_naming(call, first, "max_sequence_length")
    elif bound is not None and count > bound:
        named = error is not None and error.code in ("invalid_request", "capacity_exceeded")
        yield check(named, f"{call.name}: {count} sequences in one call are accepted; {bound} may be alive")
    elif bound is not None and queue is not None and queue.after + count > bound and error is None:
        yield broken(f"{call.name}: accepted with {queue.after} sequences alive; {bound} may be")
    elif error is not None and not first.began:
        full = bound is None or (queue is not None and queue.before + count > bound)
        fine = error.code == "capacity_exceeded" and full
        yield check(fine, f"{call.story()}: within the limits and refused: {error}")
    else:
        for outcome in mine:
            yield from _served(outcome)


def _served(outcome: Outcome) -> Iterable[Check]:
    if outcome.error is not None:
        yield broken(f"{outcome.stream}: within the limits, and it failed: {outcome.error}")
    elif outcome.usage is not None:
        whole, said = len(outcome.prompt_ids), outcome.usage.prompt
        yield check(said == whole, f"{outcome.stream}: the prompt has {whole} tokens and {said} were used")


def _reads_whole_prompts(step: BackendStep) -> Iterable[Check]:
    """Check that prompts of one length which differ do not give the very same log-probabilities."""
    told = [outcome for outcome in step.outcomes if len(outcome.logprobs) >= _TELLING_TOKENS]
    for one, other in combinations(told, 2):
        if one.prompt_ids == other.prompt_ids or len(one.prompt_ids) != len(other.prompt_ids):
            continue
        pairs = zip(one.logprobs, other.logprobs, strict=False)
        same = all(a.token == b.token and abs(a.logprob - b.logprob) < _ALIKE for a, b in pairs)
        says = f"{one.stream} and {other.stream} have different prompts and the very same log-probabilities"
        yield check(not same, says)


def _refused_naming(call: Call, outcome: Outcome, limit: str) -> Check:
    error = outcome.error
    if error is None or outcome.began:
        return broken(f"{call.story()}: accepted past {limit}")
    named = error.code == "invalid_request" and limit in f"{error.param} {error.message}"
    return check(named, f"{call.story()}: past {limit}, and refused by {error}, which does not name it")


def cancelled_and_freed(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-04."""
    command, before, after = step.command, step.before, step.after
    if isinstance(command, CancelParked):
        parked = any(s.call == command.request and s.fate == "parked" for s in model.states.values())
        yield check(
            step.said is parked, f"cancel of {command.request} says {step.said}; parked there: {parked}"
        )
    if not isinstance(command, (Serve, CancelParked)) or before is None or after is None:
        return
    for outcome in step.outcomes:
        if outcome.cancelled is not None and not outcome.cancelled.had_ended:
            yield from _cancelled(outcome, outcome.cancelled)
    if isinstance(command, CancelParked):
        held = after.blocks_held
        yield check(not step.said or held <= model.baseline_held, f"{held} blocks are held after the cancel")
    elif step.error is None:
        lost = after.blocks_held - before.blocks_held
        yield check(lost <= 0, f"{lost} blocks more are held after everything ended")
        left = after.running + after.waiting
        yield check(left == 0, f"{left} sequences run or wait after everything ended")
        gone = before.blocks_free - after.blocks_free
        yield check(gone <= 0 or lost < 0, f"{gone} blocks less are free after everything ended")


def _cancelled(outcome: Outcome, cancelled: Cancelled) -> Iterable[Check]:
    name = outcome.stream or outcome.call
    if outcome.hung:
        yield broken(f"{name} was cancelled and has no end")
        return
    yield check(cancelled.said is not False, f"cancel of {name} said that there is nothing to cancel")
    yield check(cancelled.said_again is False, f"cancel of {name} said once more that it stops something")
    yield check(
        outcome.finish == "cancelled", f"{name} was cancelled and ended by {outcome.finish}, {outcome.error}"
    )
    late = cancelled.tokens_after
    yield check(late <= TOKENS_AFTER_CANCEL, f"{name}: {late} tokens came after the cancel")
    steps = cancelled.steps_until_free
    if steps is not None:
        yield check(
            steps <= STEPS_AFTER_CANCEL, f"{name}: its blocks came back {steps} steps after the cancel"
        )


def side_by_side(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-12."""
    yield from near_ties(model, step, "IB-12")
    yield from seeded(model, step, "IB-12")
    for pair in pairs_of(model, step):
        if "IB-12" in pair.clauses and pair.parts_at is None and (pair.greedy or pair.same):
            yield ends_alike(model, pair)
    if not isinstance(step.command, Serve) or len(step.command.calls) < 2:
        return
    yield from _nobody_starves(model, step.command, step)


def _nobody_starves(model: BackendModel, command: Serve, step: BackendStep) -> Iterable[Check]:
    by_call = {outcome.call: outcome for outcome in step.outcomes}
    order = [by_call[call.name] for call in command.calls if call.name in by_call]
    if any(outcome.cancelled is not None for outcome in order):
        return
    for number, outcome in enumerate(order):
        later = [one for one in order[number + 1 :] if one.first_at is not None]
        if len(later) < _MANY or outcome.error is not None:
            continue
        first = outcome.first_at
        overtaking = len(later) if first is None else sum((one.first_at or 0) < first for one in later)
        says = f"{outcome.call} waited while {overtaking} of {len(later)} later calls got their first token"
        yield check(overtaking < _STARVED_SHARE * len(later), says)
    seats = model.about.max_batch_size if model.about is not None else 0
    if 2 <= len(step.outcomes) <= seats:
        yield from _short_ones_end(command, by_call)


def _short_ones_end(command: Serve, by_call: dict[str, Outcome]) -> Iterable[Check]:
    """Check that a short output among long ones, all of them seated, does not have to wait for their end."""
    for number, call in enumerate(command.calls):
        mine = by_call.get(call.name)
        if mine is None or mine.error is not None or mine.queue is None:
            continue
        enough = mine.queue.tokens + _LONG_RATIO * max(1, len(mine.tokens))
        before = [by_call[other.name] for other in command.calls[:number] if other.name in by_call]
        ends = [one.ended_at for one in before if one.ended_at is not None and len(one.tokens) >= enough]
        if ends:
            in_time = mine.ended_at is not None and mine.ended_at < max(ends)
            yield check(in_time, f"{call.name} has {len(mine.tokens)} tokens and ended after all long ones")


def capabilities_are_true(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-14."""
    yield from near_ties(model, step, "IB-14")
    command = step.command
    if isinstance(command, Serve):
        for call in command.calls:
            mine = [outcome for outcome in step.outcomes if outcome.call == call.name]
            for name in _undeclared(model, call):
                refused = bool(mine) and mine[0].error is not None and mine[0].error.code == "unsupported"
                yield (
                    REFUSED
                    if refused
                    else broken(f"{call.story()}: {name} is not declared and was not refused")
                )
        for call, outcome in answered(step):
            yield from _does_what_it_says(model, call, outcome)
        return
    needed = _needed(command)
    if needed is None or (step.before is None and step.error is None and not isinstance(command, Quantise)):
        return
    refused = step.error is not None and step.error.code == "unsupported"
    if needed not in model.capabilities:
        yield REFUSED if refused else broken(f"{command.op} was not refused; {needed} is not declared")
    elif isinstance(command, Quantise):
        other = model.refused_profiles > 0
        yield check(
            not (refused and other), f"{needed} is declared, and profiles of 8 and of 4 bits are refused"
        )
    else:
        yield check(not refused, f"{needed} is declared, and {command.op} is refused: {step.error}")


def _needed(command: object) -> Capability | None:
    if isinstance(command, (Prefill, Decode, Contend, Release)):
        return Capability.BACKEND_SPLIT_PREFILL
    if isinstance(command, HandOver):
        return Capability.BACKEND_KV_EXPORT
    return Capability.BACKEND_QUANTIZATION if isinstance(command, Quantise) else None


def _undeclared(model: BackendModel, call: Call) -> list[str]:
    """Return what a call needs and the backend does not declare."""
    needed = {str(capability) for capability in call.params.needed_capabilities().values()}
    if call.split:
        needed.add(str(Capability.BACKEND_SPLIT_PREFILL))
    return sorted(needed - model.capabilities)


def _does_what_it_says(model: BackendModel, call: Call, outcome: Outcome) -> Iterable[Check]:
    params, count = call.params, len(outcome.tokens)
    if params.min_tokens and outcome.finish != "cancelled":
        yield check(
            count >= params.min_tokens, f"{call.story()}: {count} tokens came, min_tokens {params.min_tokens}"
        )
    if params.greedy and params.logit_bias:
        best = max(params.logit_bias.items(), key=lambda item: item[1])
        if best[1] >= 100:
            says = f"{call.story()}: token {best[0]} is favoured by {best[1]}, and {outcome.tokens} came"
            yield check(set(outcome.tokens) == {best[0]}, says)
    if params.min_p == 1.0 and not params.greedy:
        free = model.free.get(model.greedy_key(call.prompts[0], params))
        if free is not None and outcome.tokens == free.tokens[:count]:
            yield HELD


def reuse_is_there(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-14, of a prefix cache: a long prompt that has just been served is found again."""
    timing = step.timing
    declared = Capability.BACKEND_PREFIX_REUSE in model.capabilities
    if isinstance(step.command, TimeReuse) and timing is not None and declared:
        yield check(
            timing.reused_tokens > 0, "a prompt that was just served is not found in the prefix cache"
        )


def start_is_refused(_: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-03, of a start: a model that is not there is refused."""
    if isinstance(step.command, Open) and step.command.settings.missing_model:
        yield check(step.error is not None, "it starts although there is no model folder")


def instance_limits(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-03, whole."""
    yield from limits_are_enforced(model, step)
    yield from start_is_refused(model, step)


def capabilities(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-14, whole."""
    yield from capabilities_are_true(model, step)
    yield from reuse_is_there(model, step)
