"""What is kept: IB-02 (prefill and decode), IB-07 (schema and transfer), IB-08 (reuse), IB-13 (states)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.kv import KVCacheSchema

from ....judging.rules import HELD, REFUSED, Check, broken, check
from ..comparing import pairs_of
from ..findings import Outcome, Timing
from ..model import BackendModel
from ..steps import BackendStep, Contend, Decode, Expire, HandOver, Open, Prefill, Release, Serve
from .outputs import ends_alike, near_ties, seeded

_SPLIT = Capability.BACKEND_SPLIT_PREFILL
_MEASURABLE_S = 0.004
_JITTER_S = 0.002
_LOOKAHEAD_BLOCKS = 2
"""Blocks that an engine may hold for one sequence beyond its tokens."""


def split_gives_the_same(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-02."""
    yield from near_ties(model, step, "IB-02")
    yield from seeded(model, step, "IB-02")
    for pair in pairs_of(model, step):
        if "IB-02" in pair.clauses and pair.parts_at is None:
            yield ends_alike(model, pair)
    if isinstance(step.command, Serve):
        calls = {call.name: call for call in step.command.calls}
        for outcome in step.outcomes:
            if calls[outcome.call].split:
                yield from _split_worked(model, outcome)
    again = step.decode_computed
    if again is not None and step.error is None and any(outcome.began for outcome in step.outcomes):
        yield check(again == 0, f"decode computed {again} prompt tokens again")
    if step.timing is not None:
        yield from _decode_goes_on(step.timing)
    if isinstance(step.command, (Decode, HandOver)) and step.error is not None and _good(model, step):
        refused = step.error.code == "unsupported" and not _declares(model, step)
        damaged = isinstance(step.command, HandOver) and step.command.damage is not None
        if not damaged:
            yield (
                REFUSED
                if refused
                else broken(f"{step.command.story()}: a good state is refused: {step.error}")
            )


def _split_worked(model: BackendModel, outcome: Outcome) -> Iterable[Check]:
    if outcome.error is None:
        return
    if outcome.error.code == "unsupported" and _SPLIT not in model.capabilities:
        yield REFUSED
    else:
        yield broken(f"{outcome.call}: prefill and decode fail: {outcome.error}")


def _declares(model: BackendModel, step: BackendStep) -> bool:
    moved = isinstance(step.command, HandOver)
    return (Capability.BACKEND_KV_EXPORT if moved else _SPLIT) in model.capabilities


def _good(model: BackendModel, step: BackendStep) -> bool:
    """Say whether the state of a step is one that must work."""
    state = model.states.get(getattr(step.command, "state", ""))
    return state is not None and state.fate == "parked" and getattr(step.command, "forged", None) is None


def schema_is_true(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-07."""
    yield from near_ties(model, step, "IB-07")
    about, command = step.about, step.command
    if isinstance(command, Open) and about is not None:
        yield check(about.schemas_agree, "get_kv_schema and get_capability describe different KV")
        schema, asked = about.schema_, command.settings
        if schema is not None and about.stats.blocks_total:
            pool = about.stats.blocks_total * schema.block_bytes
            near = abs(pool - about.capacity_bytes) <= schema.block_bytes
            says = f"{about.stats.blocks_total} blocks of {schema.block_bytes} bytes, {about.capacity_bytes} bytes told"
            yield check(near, says)
        if schema is not None and asked.page_size is not None:
            yield check(
                schema.page_size == asked.page_size,
                f"pages of {asked.page_size} tokens asked, {schema.page_size}",
            )
        if asked.kv_cache_memory_bytes is not None:
            says = f"a pool of {about.capacity_bytes} bytes; {asked.kv_cache_memory_bytes} are allowed"
            yield check(about.capacity_bytes <= asked.kv_cache_memory_bytes, says)
    if isinstance(command, Prefill) and step.error is None:
        yield from _blocks_match(model, command, step)
    if isinstance(command, HandOver):
        yield from _transfer(model, command, step)


def _blocks_match(model: BackendModel, command: Prefill, step: BackendStep) -> Iterable[Check]:
    """Check that parked prompts of a known length hold the blocks that the page size says."""
    schema = model.about.schema_ if model.about is not None else None
    if schema is None or step.before is None or step.after is None or not step.before.blocks_total:
        return
    lengths = [prompt.tokens for prompt in command.prompts]
    if len(step.states) != len(lengths) or None in lengths or command.params.n != 1:
        return
    held = step.after.blocks_held - step.before.blocks_held
    least = sum(-(-(length or 0) // schema.page_size) for length in lengths)
    groups = len(schema.all_groups)
    most = (
        sum(-(-((length or 0) + 1) // schema.page_size) for length in lengths)
        + _LOOKAHEAD_BLOCKS * len(lengths)
    ) * groups
    shared = _shared_blocks(model, command, schema)
    says = f"prompts of {lengths} tokens hold {held} blocks; pages of {schema.page_size} make it {least} to {most}"
    yield check(least - shared <= held <= most, says)


def _shared_blocks(model: BackendModel, command: Prefill, schema: KVCacheSchema) -> int:
    """Return how many blocks two parked prompts may share, by the texts that are equal."""
    texts = [prompt.text for prompt in command.prompts] + [
        state.prompt.text for state in model.states.values() if state.fate == "parked"
    ]
    if len(set(texts)) == len(texts):
        return 0
    return sum(-(-(prompt.tokens or 0) // schema.page_size) for prompt in command.prompts)


def _transfer(model: BackendModel, command: HandOver, step: BackendStep) -> Iterable[Check]:
    error = step.error
    if Capability.BACKEND_KV_EXPORT not in model.capabilities:
        refused = error is not None and error.code == "unsupported"
        yield REFUSED if refused else broken("KV export is not declared and was not refused")
        return
    yield from _bytes_are_described(model, command, step)
    if command.damage is not None and step.bytes_written is not None:
        known = error is not None and error.code == "integrity_error"
        yield check(known, f"{command.story()}: {error or 'it is taken'}; an IntegrityError is due")
        if step.before is not None and step.after is not None:
            others = [n for n, s in model.states.items() if s.fate == "parked" and n != command.state]
            kept = step.after.blocks_held - (step.before.blocks_held if others else model.baseline_held)
            yield check(kept <= 0, f"{kept} blocks are held after an import that failed")
    for pair in pairs_of(model, step):
        if pair.parts_at is None:
            yield HELD


def _bytes_are_described(model: BackendModel, command: HandOver, step: BackendStep) -> Iterable[Check]:
    schema = model.about.schema_ if model.about is not None else None
    state = model.states.get(command.state)
    if schema is None or state is None or step.bytes_written is None:
        return
    tokens = step.tokens_claimed or 0
    yield check(
        step.bytes_written == step.bytes_claimed,
        f"{step.bytes_written} bytes written, {step.bytes_claimed} told",
    )
    sizes = (tokens * schema.bytes_per_token, -(-tokens // schema.page_size) * schema.block_bytes)
    says = f"{step.bytes_claimed} bytes for {tokens} tokens; by the schema {sizes[0]}, or {sizes[1]} in whole blocks"
    yield check(step.bytes_claimed in sizes, says)
    yield check(bool(step.checksum_right), "the checksum is not that of the bytes")
    yield check(bool(step.schema_right), "the export names another schema than get_kv_schema")


def reuse_is_real(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-08."""
    before, after = step.before, step.after
    if before is not None and after is not None:
        for name in ("computed_tokens", "reused_tokens", "generated_tokens", "steps", "preemptions"):
            fell = getattr(before, name) - getattr(after, name)
            yield check(fell <= 0, f"the counter {name} fell by {fell}")
    if isinstance(step.command, Serve):
        yield from _reported(model, step)
        yield from _counted(step)
    if step.timing is not None:
        yield from _saves_time(step.timing)


def _reported(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    whole = [(*outcome.prompt_ids, *outcome.tokens) for outcome in step.outcomes]
    for number, outcome in enumerate(step.outcomes):
        usage = outcome.usage
        if usage is None:
            continue
        name = outcome.stream or outcome.call
        total = usage.computed + usage.reused
        yield check(
            total == usage.prompt,
            f"{name}: {usage.computed} computed and {usage.reused} reused of {usage.prompt}",
        )
        # Whether anything is found is a matter of timing among calls side by side; that it is judged is not.
        others = [*model.computed_ids, *whole[:number], *whole[number + 1 :]] if usage.reused else []
        most = max((_common(outcome.prompt_ids, other) for other in others), default=0)
        yield check(
            usage.reused <= most, f"{name}: {usage.reused} tokens reused; {most} were ever computed before"
        )


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _counted(step: BackendStep) -> Iterable[Check]:
    before, after = step.before, step.after
    outcomes = [outcome for outcome in step.outcomes if outcome.began]
    untold = any(outcome.usage is None or outcome.cancelled is not None for outcome in outcomes)
    if before is None or after is None or untold or not outcomes or after.preemptions != before.preemptions:
        return
    for name in ("computed", "reused"):
        told = sum(getattr(outcome.usage, name) for outcome in outcomes)
        counted = getattr(after, f"{name}_tokens") - getattr(before, f"{name}_tokens")
        yield check(told == counted, f"requests tell of {told} tokens {name}, the counter of {counted}")


def _computing_s(timing: Timing) -> float | None:
    """Return the time that the long prompt takes more than a short one; None if it cannot be told from noise."""
    computing = timing.cold_s - timing.short_s
    return computing if computing >= max(_MEASURABLE_S, timing.short_s) else None


def _decode_goes_on(timing: Timing) -> Iterable[Check]:
    """Check by the clock that decode does not compute its prompt again; a clock is a witness, not an evaluation."""
    computing, decode_s = _computing_s(timing), timing.decode_s
    if computing is not None and decode_s is not None:
        says = (
            f"decode takes {decode_s * 1000:.1f} ms to its first token, prefill {timing.cold_s * 1000:.1f} ms"
        )
        if decode_s > timing.short_s + computing / 2 + _JITTER_S:
            yield broken(says)


def _saves_time(timing: Timing) -> Iterable[Check]:
    """Check the second witness: what was not computed takes no time."""
    computing = _computing_s(timing)
    share = timing.reused_tokens / timing.prompt_tokens
    if share < 0.5 or computing is None:
        return
    allowed = timing.short_s + computing * (1 - share / 2) + _JITTER_S
    says = (
        f"{timing.reused_tokens} of {timing.prompt_tokens} tokens are reused, and the first token comes after "
        f"{timing.warm_s * 1000:.1f} ms, {timing.cold_s * 1000:.1f} ms for a fresh prompt"
    )
    if timing.warm_s > allowed:
        yield broken(says)


def states_are_used_once(model: BackendModel, step: BackendStep) -> Iterable[Check]:
    """IB-13."""
    command, error = step.command, step.error
    if isinstance(command, Prefill) and error is not None and _SPLIT not in model.capabilities:
        if error.code == "unsupported":
            yield REFUSED
        return
    if isinstance(command, Expire) and step.after is not None:
        held = step.after.blocks_held - model.baseline_held
        yield check(held <= 0, f"{held} blocks are still held after the lease ended")
    if isinstance(command, Contend) and step.winners is not None:
        refused = error is None or error.code == "invalid_request"
        yield check(
            step.winners == 1 and refused, f"of two decodes at once {step.winners} are accepted, {error}"
        )
    if not isinstance(command, (Decode, Release)):
        return
    state = model.states.get(command.state)
    if state is None:
        return
    what = f"{command.story()} ({state.fate})"
    if not _good(model, step):
        refused = error is not None and error.code == "invalid_request"
        yield check(refused, f"{what}: {error or 'it works'}; an InvalidRequest is due")
    else:
        yield check(error is None, f"{what}: {error}")
        if (
            isinstance(command, Release)
            and step.before is not None
            and step.after is not None
            and step.before.blocks_held
        ):
            freed = step.before.blocks_held - step.after.blocks_held
            yield check(freed > 0, f"{what}: {freed} blocks are free by it")
