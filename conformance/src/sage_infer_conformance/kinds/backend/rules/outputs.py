"""What comes out: IB-01 (greedy), IB-05 (ends), IB-06 (streams), IB-11 (seeds and log-probabilities)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from sage_infer_contracts.sampling import SamplingParams

from ....judging.rules import HELD, Check, broken, check
from ..asks import Call
from ..comparing import Pair, pairs_of
from ..expectation import Expected, expected_end
from ..findings import Logprob, Outcome
from ..measures import DRAWS
from ..model import BackendModel, Seeded
from ..steps import BackendStep, Serve

LOGPROB_SLACK = 1e-4
"""By how much a log-probability may miss an order or a bound, for sums in single precision."""
_FLAT = 1.0
"""Temperature from which on outputs of several seeds are expected to differ."""


def answered(step: BackendStep) -> Iterable[tuple[Call, Outcome]]:
    """Yield each outcome of a ``serve`` that came to an end of its own, with its call."""
    if isinstance(step.command, Serve):
        calls = {call.name: call for call in step.command.calls}
        for outcome in step.outcomes:
            if outcome.finish is not None:
                yield calls[outcome.call], outcome


def near_ties(model: BackendModel, step: BackendStep, clause: str) -> Iterable[Check]:
    """Judge the outputs that parted in the step before: a near tie excuses them, and nothing else does."""
    mine = [suspect for suspect in model.suspects if clause in suspect.clauses]
    if step.command.op != "show_tie":
        for suspect in mine:
            yield broken(f"{suspect.says}; nothing shows a near tie there")
        return
    if not model.suspects or clause not in model.suspects[0].clauses:
        return
    found, suspect = step.tie, model.suspects[0]
    if found is not None and found.gap is not None:
        says = f"{suspect.says}; the two are {found.gap:.4g} apart, and {model.epsilon:g} is allowed"
        yield check(found.gap <= model.epsilon, says)
    elif found is not None and found.drawn is not None:
        says = f"{suspect.says}; at a temperature of {model.epsilon:g} they are drawn {found.drawn} times of {DRAWS}"
        yield check(min(found.drawn) > 0, says)
    else:
        yield broken(f"{suspect.says}; both are not even among the most likely tokens")


def seeded(model: BackendModel, step: BackendStep, clause: str) -> Iterable[Check]:
    """Judge outputs drawn with a seed against the same call alone.

    Where a device rounds differently from batch to batch, a draw can fall on the other side of a boundary: rarely in
    fp32 (one output of a history is let pass), in about one token of a hundred in 16 bits (three outputs in ten).
    """
    before = model.seeded.get(clause, Seeded())
    compared, different = before.compared, before.different
    for pair in pairs_of(model, step):
        if pair.greedy or clause not in pair.clauses:
            continue
        compared += 1
        different += not pair.same
        exact = model.about is None or model.about.dtype == "fp32"
        allowed = 1 if exact else 1 + 0.3 * compared
        says = f"{different} of {compared} outputs with a seed are not what it gave alone; {pair.says()}"
        yield check(pair.same or different <= allowed, says)


def ends_alike(model: BackendModel, pair: Pair) -> Check:
    """Judge where and how an output ended whose tokens are those it gave alone."""
    params, outcome = pair.call.params, pair.outcome
    if outcome.finish == "cancelled":
        return HELD
    known = model.known.get(model.exact_key(pair.prompt, params))
    if known is not None and (known.tokens == outcome.tokens or not pair.greedy):
        now, then = _visible(outcome), _visible(known)
        return check(now == then, f"{pair.call.story()} gives {now}, and gave {then} alone")
    expected = _expected(model, params, outcome, pair.before) if pair.greedy else None
    wrong = expected.differs(outcome) if expected is not None else None
    return HELD if wrong is None else broken(f"{pair.call.story()}: {wrong}")


def _visible(outcome: Outcome) -> tuple[str, object, object]:
    return outcome.text, outcome.finish, outcome.stop


def greedy_is_a_function(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-01."""
    yield from near_ties(model, step, "IB-01")
    for pair in pairs_of(model, step):
        if "IB-01" in pair.clauses and pair.parts_at is None:
            yield HELD


def ends_as_told(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-05."""
    for call, outcome in answered(step):
        if outcome.finish == "cancelled":
            continue
        yield from _says_why(model, call, outcome)
        params = call.params
        free = model.free.get(model.greedy_key(call.prompts[0], params)) if params.greedy else None
        if free is None or len(call.prompts) > 1 or params.n > 1:
            continue
        expected = _expected(model, params, outcome, free)
        same = all(a == b for a, b in zip(outcome.tokens, free.tokens, strict=False))
        if expected is not None and same:
            wrong = expected.differs(outcome)
            yield HELD if wrong is None else broken(f"{call.story()}: {wrong}")


def _expected(
    model: BackendModel, params: SamplingParams, outcome: Outcome, free: Outcome
) -> Expected | None:
    """Return how ``outcome`` must end by the longer output ``free``; None where that does not tell."""
    plain = not params.stop and not params.stop_token_ids and outcome.finish == "eos"
    ends = {*model.ends, *(outcome.tokens[-1:] if plain else ())}
    if outcome.finish == "eos" and ends.isdisjoint(free.tokens):
        return None  # ignore_eos forbids the token here
    return expected_end(free, params, ends)


def _says_why(model: BackendModel, call: Call, outcome: Outcome) -> Iterable[Check]:
    """Check what needs no other output to be compared with."""
    params, count, finish = call.params, len(outcome.tokens), outcome.finish
    longest = model.about.max_sequence_length - len(outcome.prompt_ids) if model.about is not None else None
    limit = params.max_tokens if params.max_tokens is not None else longest
    name = f"{outcome.stream}, {call.story()}"
    if limit is not None:
        yield check(count <= limit, f"{name}: {count} tokens came and {limit} are allowed")
        if finish == "length":
            yield check(count == limit, f"{name}: ended by length after {count} tokens, not {limit}")
    if params.ignore_eos:
        yield check(finish != "eos", f"{name}: ended by eos although it is ignored")
    if finish == "stop_token":
        right = outcome.stop in params.stop_token_ids and outcome.tokens[-1:] == (outcome.stop,)
        yield check(
            right, f"{name}: ended by stop token {outcome.stop!r}, its last token is {outcome.tokens[-1:]}"
        )
    if finish == "stop_string":
        yield check(
            outcome.stop in params.stop, f"{name}: ended by {outcome.stop!r}, which was not asked for"
        )
    for stop in params.stop if not params.min_tokens else ():
        yield check(stop not in outcome.text, f"{name}: the text has {stop!r} in it")
    early = set(outcome.tokens[params.min_tokens : -1])
    yield check(early.isdisjoint(params.stop_token_ids), f"{name}: went on after a stop token")
    if not params.ignore_eos:
        yield check(early.isdisjoint(model.ends), f"{name}: went on after the token that ends an output")


def streams_are_whole(_: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-06."""
    if not isinstance(step.command, Serve):
        return
    for call in step.command.calls:
        mine = [outcome for outcome in step.outcomes if outcome.call == call.name]
        wanted = len(call.prompts) * call.params.n
        if mine and mine[0].began:
            names = [call.name] if wanted == 1 else [f"{call.name}/{number}" for number in range(wanted)]
            found = [outcome.stream for outcome in mine if outcome.stream is not None]
            right = len(mine) == wanted and (found == names or call.split)
            yield check(right, f"{call.story()} gives streams {found}, not {names}")
        for outcome in mine:
            yield from _whole(outcome)
            limit, count = call.params.max_tokens, len(outcome.tokens)
            if outcome.finish == "length" and limit is not None:
                yield check(count >= limit, f"{outcome.stream}: {limit} tokens were due and {count} came")


def _whole(outcome: Outcome) -> Iterable[Check]:
    name = outcome.stream or outcome.call
    if outcome.hung:
        yield broken(f"{name} has no end: after {len(outcome.tokens)} tokens nothing came any more")
        return
    if outcome.finish is None or not outcome.deltas:
        if outcome.began:
            yield check(outcome.error is not None, f"{name} ends without a finish reason")
        return
    lasts = [delta.last for delta in outcome.deltas]
    yield check(lasts.index(True) == len(lasts) - 1, f"{name}: deltas came after the one that ended it")
    if outcome.usage is None:
        yield broken(f"{name}: the last delta has no usage")
    else:
        count, said = len(outcome.tokens), outcome.usage.completion
        yield check(count == said, f"{name}: {count} tokens came and {said} were produced")
    yield check(
        _reads_as(outcome), f"{name}: the text {outcome.text!r} is not that of its tokens, {outcome.decoded}"
    )


def _reads_as(outcome: Outcome) -> bool:
    text = outcome.text
    if outcome.finish == "stop_string":
        return any(whole.startswith(f"{text}{outcome.stop}") for whole in outcome.decoded)
    if outcome.finish == "cancelled":
        return any(whole.startswith(text.rstrip("\ufffd")) for whole in outcome.decoded)
    return text in outcome.decoded


def seeds_and_logprobs(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-11."""
    yield from near_ties(model, step, "IB-11")
    yield from seeded(model, step, "IB-11")
    for pair in pairs_of(model, step):
        if pair.greedy and "IB-11" in pair.clauses and pair.parts_at is None:
            yield HELD
    yield from _seeds_matter(step)
    for call, outcome in answered(step):
        if call.params.logprobs is not None:
            yield from _logprobs(call, outcome)


def _seeds_matter(step: BackendStep) -> Iterable[Check]:
    alike: dict[str, dict[int, tuple[int, ...]]] = defaultdict(dict)
    for call, outcome in answered(step):
        params = call.params
        if (
            params.seed is not None
            and params.temperature >= _FLAT
            and params.n == 1
            and len(outcome.tokens) >= 8
        ):
            key = f"{outcome.prompt_ids}{params.model_copy(update={'seed': None}).model_dump_json()}"
            alike[key][params.seed] = outcome.tokens
    for outputs in alike.values():
        if len(outputs) >= 4:
            says = f"{len(outputs)} seeds give the same {len(next(iter(outputs.values())))} tokens"
            yield check(len(set(outputs.values())) > 1, says)


def _logprobs(call: Call, outcome: Outcome) -> Iterable[Check]:
    told = tuple(one.token for one in outcome.logprobs)
    yield check(
        told == outcome.tokens, f"{outcome.stream}: log-probabilities are of {told}, emitted {outcome.tokens}"
    )
    for number, one in enumerate(outcome.logprobs):
        wrong = _wrong(one, call.params.logprobs or 0, greedy=call.params.greedy)
        yield HELD if wrong is None else broken(f"{outcome.stream}, token {number}: {wrong}")


def _wrong(one: Logprob, alternatives: int, *, greedy: bool) -> str | None:
    values = [value for _, value in one.top]
    if one.logprob > LOGPROB_SLACK or not math.isfinite(one.logprob):
        return f"a log-probability of {one.logprob}"
    if len(one.top) < alternatives:
        return f"{len(one.top)} alternatives and {alternatives} asked for"
    if any(later > earlier + LOGPROB_SLACK for earlier, later in pairwise(values)):
        return f"the alternatives are not in order: {values}"
    if sum(map(math.exp, values)) > 1 + 10 * LOGPROB_SLACK:
        return f"the probabilities of the alternatives add up to more than one: {values}"
    own = dict(one.top).get(one.token)
    if own is not None and abs(own - one.logprob) > LOGPROB_SLACK:
        return f"its log-probability is {one.logprob}, and {own} among the alternatives"
    if own is None and values and one.logprob > values[-1] + LOGPROB_SLACK:
        return f"its log-probability {one.logprob} is above that of the last alternative, and it is not among them"
    if greedy and values and one.logprob < values[0] - LOGPROB_SLACK:
        return f"greedy took a token of {one.logprob} while the best has {values[0]}"
    return None
