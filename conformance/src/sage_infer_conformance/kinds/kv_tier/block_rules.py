"""KV-01, KV-02, KV-04 and KV-08: what is seen of blocks. Each a pure function of the model and a step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...judging.rules import HELD, Check, broken, check
from .model import SHORT_S, Name, TierModel
from .steps import Act, Acted, Contains, Get, Put, Remove, Seen, TierStep, Together

GET_OUTCOMES = ("hit", "missing", "corrupt")


def got(step: TierStep) -> Iterator[tuple[Name, Seen]]:
    """Yield what a get said of each block."""
    if isinstance(step.command, Get) and step.blocks is not None:
        for key, seen in zip(step.command.keys, step.blocks, strict=False):
            yield (step.command.namespace, key), seen


def put(step: TierStep) -> Iterator[tuple[Name, Seen]]:
    """Yield what a put said of each block."""
    if isinstance(step.command, Put) and step.blocks is not None:
        for key, seen in zip(step.command.keys, step.blocks, strict=False):
            yield (step.command.namespace, key), seen


def told(step: TierStep) -> Iterator[tuple[Name, bool]]:
    """Yield what ``contains`` said of each block."""
    if isinstance(step.command, Contains) and step.visible is not None:
        for key, visible in zip(step.command.keys, step.visible, strict=False):
            yield (step.command.namespace, key), visible


def _acts(step: TierStep) -> Iterator[tuple[Act, Acted]]:
    if isinstance(step.command, Together):
        for acts, acted in zip(step.command.threads, step.acts, strict=False):
            yield from zip(acts, acted, strict=False)


def exact_bytes(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-01."""
    command = step.command
    if isinstance(command, Get) and step.blocks is not None and len(step.blocks) != len(command.keys):
        yield broken(f"{len(step.blocks)} outcomes for {len(command.keys)} blocks")
    for name, seen in got(step):
        yield from _exact(model, name, seen, command.nbytes if isinstance(command, Get) else 0)
    for name, visible in told(step):
        if name in model.corrupt:
            yield check(not visible, f"{name[1]} was corrupt and is still visible")


def _exact(model: TierModel, name: Name, seen: Seen, nbytes: int) -> Iterable[Check]:
    key, block = name[1], model.blocks.get(name)
    if seen.outcome not in GET_OUTCOMES:
        yield broken(f"{seen.outcome!r} is no outcome of a get")
    elif seen.outcome == "hit":
        known = block.versions if block is not None else model.put_versions.get(name, ())
        size = f" into a region of {nbytes} bytes" if block is not None and block.nbytes != nbytes else ""
        yield check(seen.version in known, f"{key}{size} is a {seen}, which is not what was put")
    elif seen.outcome == "corrupt":
        yield check(bool(seen.reason), f"{key} is corrupt, and no reason is given")
        again = name in model.corrupt and model.fault is None
        yield check(not again, f"{key} was reported corrupt before and was not dropped")
        made_up = block is None and not model.shaken and not model.put_versions.get(name)
        yield check(not made_up, f"{key} was never put and is reported corrupt")
    elif block is not None:
        yield HELD


def wholly_visible(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-02: what ``contains`` names, get gives, whole; what was rejected or never finished is nowhere, or whole."""
    for name, seen in got(step):
        if model.fault is not None:
            continue
        block, key = model.blocks.get(name), name[1]
        if seen.outcome == "hit":
            half = seen.version is None and seen.other is None
            yield check(not half, f"{key} is visible, but not as a whole")
            yield check(
                model.told.get(name) is not False, f"{key} is a hit, and contains said it is not there"
            )
        elif model.told.get(name) and (block is None or not block.suspect) and _readable(model, name, step):
            yield broken(f"contains said that {key} is there, and get says {seen}")
        if model.absent.get(name) == "rejected":
            yield check(seen.outcome != "hit", f"{key} was rejected and is visible")
    for name, visible in told(step):
        if model.absent.get(name) == "rejected" and model.fault is None:
            yield check(not visible, f"{name[1]} was rejected and is visible")
    for act, acted in _acts(step):
        if act.op == "watch":
            yield check(not acted.torn, f"a block that was being put was seen in part, {acted.torn} times")
            yield check(
                not acted.vanished, f"contains named a block that get did not give, {acted.vanished} times"
            )
        elif act.op == "get" and not model.shaken:
            outcomes = zip(act.keys, acted.blocks or (), strict=False)
            torn = [key for key, seen in outcomes if seen.outcome == "corrupt"]
            yield check(not torn, f"{torn} is visible and corrupt, and nothing was done to its file")
    if step.command.op == "reopen" and model.killed and step.error is not None:
        yield broken(f"after a process was killed, the tier cannot be made again: {step.error}")


def _readable(model: TierModel, name: Name, step: TierStep) -> bool:
    """Say whether a get can give the block: enough time, no fault, and a region of its size."""
    command, block = step.command, model.blocks.get(name)
    if not isinstance(command, Get) or command.deadline_s < SHORT_S or model.fault is not None:
        return False
    return block is None or block.nbytes == command.nbytes


def never_torn(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-04."""
    if model.fault is None:
        for name, seen in put(step):
            yield from _put_once(model, name, seen)
    for name, seen in got(step):
        block = model.blocks.get(name)
        if block is not None and seen.outcome == "hit" and seen.version is not None:
            replaced = seen.version in block.offered and seen.version not in block.versions
            yield check(not replaced, f"{name[1]} was put again while it was there, and that changed it")
    if isinstance(step.command, Together):
        yield from _together(model, step.command, step)


def _put_once(model: TierModel, name: Name, seen: Seen) -> Iterable[Check]:
    block = model.blocks.get(name)
    if block is not None and block.must_be_there:
        yield check(seen.outcome in ("present", "rejected"), f"{name[1]} is there, and put says {seen}")
    elif block is None and seen.outcome == "present":
        yield broken(f"{name[1]} is not there, and put says it is present")


def _together(model: TierModel, command: Together, step: TierStep) -> Iterable[Check]:
    """Each hit is whole and of a version that was put; without removals, one version, stored once."""
    removed = {key for acts in command.threads for act in acts if act.op == "remove" for key in act.keys}
    offered: dict[str, set[int]] = {}
    for act, _ in _acts(step):
        for key in act.keys if act.op == "put" else ():
            offered.setdefault(key, set()).add(act.version)
    stored: dict[str, int] = {}
    given: dict[str, set[int]] = {}
    for act, acted in _acts(step):
        yield check(
            acted.error is None, f"{act.op} {' '.join(act.keys)} raised {acted.error} beside other threads"
        )
        for key, seen in zip(act.keys, acted.blocks or (), strict=False):
            if act.op == "put":
                stored[key] = stored.get(key, 0) + (seen.outcome == "stored")
                continue
            block = model.blocks.get((command.namespace, key))
            allowed = offered.get(key, set()) | (block.versions if block is not None else set())
            whole = seen.outcome != "hit" or seen.version in allowed
            yield check(whole, f"{key} is a {seen} while other threads put it")
            if seen.version is not None and seen.outcome == "hit":
                given.setdefault(key, set()).add(seen.version)
    for key in sorted({key for acts in command.threads for act in acts for key in act.keys} - removed):
        block = model.blocks.get((command.namespace, key))
        times = stored.get(key, 0) + (block is not None and block.must_be_there)
        yield check(times <= 1, f"{key} was stored {times} times, by threads that put it at once")
        versions = given.get(key, set())
        yield check(len(versions) <= 1, f"{key} changed while it was there: versions {sorted(versions)}")


def apart(model: TierModel, step: TierStep) -> Iterable[Check]:
    """KV-08."""
    for name, seen in got(step):
        strange = seen.outcome == "hit" and seen.other is not None and seen.other[0] != name[0]
        if strange or model.elsewhere(name):
            yield check(seen.outcome != "hit", f"{name[1]} in {name[0]!r} is a {seen}")
        block = model.blocks.get(name)
        if block is not None and block.must_be_there and block.exposed and _readable(model, name, step):
            yield check(
                seen.outcome == "hit", f"{name[1]} is {seen} since its key was used in another namespace"
            )
    for name, visible in told(step):
        if model.elsewhere(name):
            yield check(not visible, f"{name[1]} is visible in {name[0]!r}, where it was never put")
    for name, seen in put(step):
        if model.elsewhere(name):
            yield check(
                seen.outcome != "present", f"{name[1]} counts as present in {name[0]!r}, where it was not put"
            )
    command = step.command
    if isinstance(command, Remove) and step.removed is not None:
        here = sum((command.namespace, key) in model.blocks for key in command.keys)
        if here < len(command.keys) and any(
            model.elsewhere((command.namespace, key)) for key in command.keys
        ):
            yield check(
                step.removed <= here,
                f"{step.removed} blocks were removed; {here} are in {command.namespace!r}",
            )
