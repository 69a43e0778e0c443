"""KV-03, KV-05, KV-06, KV-07, KV-09 and KV-10: what a tier does as a whole."""

from __future__ import annotations

from collections.abc import Iterable

from ...judging.rules import HELD, REFUSED, Check, broken, check
from .block_rules import got, put, told
from .model import SHORT_S, Name, TierModel
from .steps import (
    AskUsage,
    Contains,
    Crash,
    Create,
    Extent,
    Footprint,
    Get,
    Put,
    Remove,
    TakeLost,
    TierStep,
    Together,
)

PUT_OUTCOMES = ("stored", "present", "rejected")
MARGIN_S = 2.0
"""How much later than its deadline an operation may be seen to end, on a machine that is busy."""
EXTENT_RATIO, EXTENT_SLACK_BYTES = 2.0, 16 << 20
"""How much more than its capacity a tier may take: a log that is compacted needs twice, a process grows by itself."""
REFILLS = 3


def within_capacity(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-03."""
    command = step.command
    if isinstance(command, Put):
        yield from _room(model, command, step)
    elif isinstance(command, AskUsage) and step.usage is not None:
        capacity = model.capacity_bytes
        yield check(
            step.usage.bytes <= capacity, f"{step.usage.bytes} bytes are held; the capacity is {capacity}"
        )
        says = f"it says that its capacity is {step.usage.capacity_bytes}; it was given {capacity}"
        yield check(step.usage.capacity_bytes <= capacity, says)
    elif isinstance(command, Together):
        yield _room_for_all(model, command, step)
    elif isinstance(command, Footprint) and step.extent is not None:
        allowed = int(EXTENT_RATIO * model.capacity_bytes) + EXTENT_SLACK_BYTES
        most = max((*step.extent.full_bytes, *step.extent.memory_bytes), default=0)
        yield check(most <= allowed, f"with a capacity of {model.capacity_bytes} bytes it takes {most}")
    yield from _nothing_lost(model, step)


def _room(model: TierModel, command: Put, step: TierStep) -> Iterable[Check]:
    if step.blocks is not None:
        says = f"{len(step.blocks)} outcomes for {len(command.keys)} blocks"
        yield check(len(step.blocks) == len(command.keys), says)
        stored = [name for name, seen in put(step) if seen.outcome == "stored"]
        _, _, least, _ = model.bounds()
        held = least + command.nbytes * sum(not _there(model, name) for name in stored)
        yield check(
            held <= model.capacity_bytes, f"{held} bytes were stored; the capacity is {model.capacity_bytes}"
        )
    elif step.error is not None and model.fault is None and not model.closed and step.error.fate is None:
        yield broken(f"instead of an outcome for each block it raised {step.error}")
    for name, seen in put(step):
        yield check(seen.outcome in PUT_OUTCOMES, f"{seen.outcome!r} is no outcome of a put")
        if seen.outcome == "rejected":
            yield check(bool(seen.reason), f"{name[1]} was rejected, and no reason is given")


def _there(model: TierModel, name: Name) -> bool:
    return name in model.blocks and model.blocks[name].must_be_there


def _room_for_all(model: TierModel, command: Together, step: TierStep) -> Check:
    """Blocks that were stored and cannot have been removed again."""
    removed = {key for acts in command.threads for act in acts if act.op == "remove" for key in act.keys}
    stored: set[str] = set()
    for acts, acted in zip(command.threads, step.acts, strict=False):
        for act, result in zip(acts, acted, strict=False):
            outcomes = zip(act.keys, result.blocks or (), strict=False)
            stored |= {key for key, seen in outcomes if act.op == "put" and seen.outcome == "stored"}
    before = {
        name[1]
        for name, block in model.blocks.items()
        if block.must_be_there and name[0] == command.namespace
    }
    elsewhere = sum(
        block.nbytes
        for name, block in model.blocks.items()
        if block.must_be_there and name[0] != command.namespace
    )
    held = elsewhere + len((stored | before) - removed) * command.nbytes
    return check(
        held <= model.capacity_bytes, f"threads stored {held} bytes; the capacity is {model.capacity_bytes}"
    )


def _nothing_lost(model: TierModel, step: TierStep) -> Iterable[Check]:
    if model.fault is not None or (isinstance(step.command, Get) and step.command.deadline_s < SHORT_S):
        return
    for name, seen in got(step):
        if _there(model, name) and _same_size(model, name, step):
            yield check(
                seen.outcome == "hit", f"{name[1]} was stored, nothing was done to it, and get says {seen}"
            )
    for name, visible in told(step):
        if _there(model, name):
            yield check(visible, f"{name[1]} was stored, nothing was done to it, and it is not visible")


def _same_size(model: TierModel, name: Name, step: TierStep) -> bool:
    return isinstance(step.command, Get) and step.command.nbytes == model.blocks[name].nbytes


def ends_by_deadline(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-05: it ends, and what was rejected because its time was up does not go on."""
    command = step.command
    state = f" with the fault {model.fault}" if model.fault else ""
    if step.error is not None and step.error.fate == "hang":
        yield broken(f"{command.story()} did not end{state}")
    elif isinstance(command, Put | Get):
        yield check(
            step.ended,
            f"no outcome {step.seconds:.1f} s after {command.op}, due in {command.deadline_s:g} s{state}",
        )
        late = step.seconds > command.deadline_s + MARGIN_S
        yield check(
            not late, f"{command.op} took {step.seconds:.1f} s, due in {command.deadline_s:g} s{state}"
        )
    if model.fault is None:
        visible = [name for name, seen in got(step) if seen.outcome == "hit"] + [
            name for name, seen in told(step) if seen
        ]
        for name in visible:
            if name in model.blocks and model.blocks[name].late:
                yield broken(f"{name[1]} was rejected while the device was slow, and was stored later")


def adds_up(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-06."""
    command = step.command
    if isinstance(command, AskUsage) and step.usage is not None and model.fault is None:
        fewest, most, least_bytes, most_bytes = model.bounds()
        held = step.usage
        says = f"{held.blocks} blocks, {held.bytes} bytes are reported; stored: {fewest} to {most}, {least_bytes} bytes"
        yield check(fewest <= held.blocks <= most and least_bytes <= held.bytes <= most_bytes, says)
    elif isinstance(command, Remove) and step.removed is not None and model.fault is None:
        names = [(command.namespace, key) for key in command.keys]
        fewest, most = sum(_there(model, name) for name in names), sum(name in model.blocks for name in names)
        yield check(
            fewest <= step.removed <= most, f"{step.removed} were removed; {fewest} to {most} were there"
        )
    elif command.op == "close":
        again = " again" if model.closed else ""
        yield check(step.error is None, f"closing{again} raised {step.error}")
    elif isinstance(command, Footprint) and step.extent is not None:
        yield from _frees(model, step.extent)
    for one in step.closed:
        yield check(one.refused, f"a closed tier answered {one.call} with {one.answer}")
    if model.fault is None:
        yield from _removed_is_gone(model, step)


def _removed_is_gone(model: TierModel, step: TierStep) -> Iterable[Check]:
    for name, seen in got(step):
        if model.absent.get(name) == "removed":
            yield check(seen.outcome == "missing", f"{name[1]} was removed, and get says {seen}")
    for name, visible in told(step):
        if model.absent.get(name) == "removed":
            yield check(not visible, f"{name[1]} was removed and is visible")
    for name, seen in put(step):
        if model.absent.get(name) == "removed":
            yield check(seen.outcome != "present", f"{name[1]} was removed and counts as present")


def _frees(model: TierModel, extent: Extent) -> Iterable[Check]:
    """What was removed is free again: an empty tier takes blocks as often as one likes, in the same room."""
    first, last = extent.stored[0], extent.stored[-1]
    if first:
        yield check(
            last > 0, f"empty again, it stored {last} blocks in the last round and {first} in the first"
        )
    growth = model.capacity_bytes + EXTENT_SLACK_BYTES
    for kind, sizes in (("disk", extent.disk_bytes), ("memory", extent.memory_bytes)):
        if len(sizes) > 1:
            says = f"emptied each time, it took {sizes[0]} bytes of {kind} after one round, {sizes[-1]} after the last"
            yield check(sizes[-1] - sizes[0] <= growth, says)


def losses_reported(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-07: all, once, and nothing else."""
    if isinstance(step.command, TakeLost) and step.lost is not None:
        named = [(one.namespace, one.key) for one in step.lost]
        unsaid = sorted(name for name in model.gone if name not in named)
        if model.fault is None:
            yield check(
                not unsaid,
                f"{unsaid[:1]} was lost ({model.gone[unsaid[0]] if unsaid else ''}) and not reported",
            )
        yield check(len(set(named)) == len(named), f"a loss is reported twice: {named}")
        for name in named:
            yield check(name not in model.reported, f"the loss of {name} was reported before")
            yield check(bool(model.put_versions.get(name)), f"{name} is reported lost and was never put")
            kept = _there(model, name) and not model.blocks[name].renewed
            yield check(not kept, f"{name} is reported lost, and nothing was done to it")
            yield check(model.absent.get(name) != "removed", f"{name} is reported lost; its owner removed it")
    for name, seen in got(step):
        if name in model.reported:
            yield check(seen.outcome != "hit", f"{name[1]} was reported lost, and get says {seen}")
    if isinstance(step.command, Contains) and model.fault is None:
        for name, visible in told(step):
            if name in model.reported:
                yield check(not visible, f"{name[1]} was reported lost and is visible")


def only_its_regions(_: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-09."""
    if step.blocks is not None:
        yield check(not step.outside, f"bytes beside {step.outside} regions were changed")
    if step.late is not None:
        yield check(not step.late, f"{step.late} regions were changed after the outcomes had been given")


def survives(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-10: of tiers that declare ``tier.persistent``."""
    command = step.command
    if (
        isinstance(command, Create)
        and step.error is None
        and "tier.persistent" not in (step.capabilities or ())
    ):
        yield REFUSED
    if not model.persistent or model.shaken:
        return
    if command.op == "reopen":
        yield check(step.error is None, f"the tier cannot be made again at its path: {step.error}")
        yield check(
            "tier.persistent" in (step.capabilities or ("tier.persistent",)),
            "made again, it is not persistent",
        )
    if model.fault is None:
        for name, seen in got(step):
            if _there(model, name) and model.blocks[name].carried and _same_size(model, name, step):
                yield check(seen.outcome == "hit", f"{name[1]} was stored before, and get says {seen}")
        for name, visible in told(step):
            if _there(model, name) and model.blocks[name].carried:
                yield check(visible, f"{name[1]} was stored before and is not visible")
        if step.usage is not None and model.reopened:
            fewest, most, _, _ = model.bounds()
            blocks = step.usage.blocks
            yield check(
                fewest <= blocks <= most,
                f"{blocks} blocks are reported after a restart; {fewest} to {most} are stored",
            )
    if isinstance(command, Crash) and step.done is not None:
        yield HELD
