"""What must be true of any tier: which blocks are there, with which bytes, and of which that cannot be known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import attrs

from .steps import (
    HARMLESS,
    Close,
    CloseBusy,
    Contains,
    Crash,
    Create,
    Damage,
    Fault,
    Get,
    Heal,
    Lost,
    Put,
    Remove,
    Reopen,
    Seen,
    TierStep,
    Together,
)

Name = tuple[str, str]
"""Namespace and key."""
PERSISTENT = "tier.persistent"
SHORT_S = 1.0
"""An operation with less time than this may end because of its deadline, which tells nothing of the block."""


def hurried(step: TierStep) -> bool:
    """Say whether an operation had so little time that its deadline may have decided."""
    return isinstance(step.command, Put | Get) and step.command.deadline_s < SHORT_S


@attrs.define(slots=True)
class Block:
    """A block that is there, or may be."""

    nbytes: int
    versions: frozenset[int]
    certain: bool = True
    """It was reported stored or was seen; False: nobody knows."""
    suspect: bool = False
    """A fault or damage since then may have taken it."""
    owed: bool = True
    """If it is lost, the tier can know and must report it."""
    late: bool = False
    """It was rejected at its deadline, and must not appear."""
    offered: set[int] = attrs.field(factory=set)
    """Versions that were put while it was there."""
    exposed: bool = False
    """Its key was put or removed in another namespace since it was stored."""
    carried: bool = False
    """It was stored before the tier was made again."""
    renewed: bool = False
    """It was stored again where it may have been lost, so a report of that loss may still come."""

    @property
    def must_be_there(self) -> bool:
        """Whether nothing excuses its absence."""
        return self.certain and not self.suspect


@attrs.define(slots=True)
class TierModel:
    """The blocks, what was seen to be gone, and what was done to the tier from outside."""

    capacity_bytes: int = 0
    persistent: bool = False
    blocks: dict[Name, Block] = attrs.field(factory=dict)
    absent: dict[Name, Literal["removed", "rejected", "lost"]] = attrs.field(factory=dict)
    put_versions: dict[Name, set[int]] = attrs.field(factory=dict)
    nbytes: int = 1
    """Size of the blocks that were put last; a history that is harmed has blocks of one size."""
    told: dict[Name, bool] = attrs.field(factory=dict)
    """What ``contains`` said of a block, until something happened to it."""
    gone: dict[Name, str] = attrs.field(factory=dict)
    """Blocks seen to be lost whose loss is still to be reported."""
    reported: set[Name] = attrs.field(factory=set)
    corrupt: set[Name] = attrs.field(factory=set)
    fault: str | None = None
    shaken: bool = False
    """Whether there was a fault or damage in this history."""
    damaged: bool = False
    """Files were changed; what a restart makes of them is not the tier's fault."""
    unsteady: bool = False
    """Which blocks are there depends on the timing of threads or processes, and no longer on what was asked alone."""
    killed: bool = False
    """A process that had the tier was killed, and the tier was not made again yet."""
    reopened: bool = False
    """The tier was made again, and nothing was put since."""
    closed: bool = False

    def apply(self, step: TierStep) -> None:
        """Take a step into account."""
        command = step.command
        self.unsteady = self.unsteady or self._is_unsteady(step)
        if isinstance(command, Put):
            self._put(command, step)
        elif isinstance(command, Crash):
            self._crash(command, step.done or ())
        elif isinstance(command, CloseBusy):
            self.closed = True
            for key in command.keys:
                self._unsure(("a", key), 0, command.nbytes)
        elif step.error is None:
            self._went_well(step)

    def _is_unsteady(self, step: TierStep) -> bool:
        """Say whether what came of a step depends on timing, as which blocks of a batch fit."""
        command = step.command
        if hurried(step):
            return True
        if isinstance(command, Put) and step.blocks is not None:
            stored = sum(seen.outcome == "stored" for seen in step.blocks)
            fits = self.bounds()[3] + len(command.keys) * command.nbytes <= self.capacity_bytes
            return 0 < stored < len(command.keys) and not fits
        if isinstance(command, Fault):
            return command.kind not in HARMLESS
        return isinstance(command, Together | Crash | CloseBusy | Damage)

    def _went_well(self, step: TierStep) -> None:
        command = step.command
        if isinstance(command, Create):
            self.capacity_bytes = command.capacity_bytes
            self.persistent = PERSISTENT in (step.capabilities or ())
        elif isinstance(command, Get) and step.blocks is not None:
            for key, seen in zip(command.keys, step.blocks, strict=False):
                self._got((command.namespace, key), seen, command)
        elif isinstance(command, Contains) and step.visible is not None:
            for key, visible in zip(command.keys, step.visible, strict=False):
                self._told((command.namespace, key), visible)
        elif isinstance(command, Remove):
            for key in command.keys:
                self._removed((command.namespace, key))
        elif step.lost is not None:
            for one in step.lost:
                self._lost(one)
        elif isinstance(command, Together):
            self._together(command, step)
        else:
            self._from_outside(step)

    def _from_outside(self, step: TierStep) -> None:
        command = step.command
        if isinstance(command, Close):
            self.closed = True
        elif isinstance(command, Reopen):
            self._reopened()
        elif isinstance(command, Fault) and command.kind not in HARMLESS:
            self.fault, self.shaken = command.kind, True
            self._suspect(owed=True)
        elif isinstance(command, Heal):
            self.fault = None
        elif isinstance(command, Damage):
            self.shaken = self.damaged = True
            self._suspect(owed=not self.closed)

    def _put(self, command: Put, step: TierStep) -> None:
        self.reopened = False
        outcomes: list[Seen | None] = list(step.blocks or ())
        outcomes += [None] * (len(command.keys) - len(outcomes))
        for key, seen in zip(command.keys, outcomes, strict=False):
            name = (command.namespace, key)
            self.put_versions.setdefault(name, set()).add(command.version)
            self.nbytes = command.nbytes
            self.told.pop(name, None)
            self._expose(name)
            if seen is not None and seen.outcome == "stored":
                self._stored(name, command)
            elif seen is not None and seen.outcome == "present":
                self._present(name, command)
            elif seen is None or self.fault is not None:
                self._unsure(
                    name,
                    command.version,
                    command.nbytes,
                    late=seen is not None and self.fault in ("slow", "stall"),
                )
            elif name not in self.blocks:
                self.absent[name] = "rejected"

    def _stored(self, name: Name, command: Put) -> None:
        known = self.blocks.get(name)
        versions = frozenset({command.version})
        if known is not None and known.must_be_there:
            versions |= known.versions
        renewed = name in self.gone or (known is not None and known.certain)
        self.blocks[name] = Block(command.nbytes, versions, suspect=self.fault is not None, renewed=renewed)
        self.absent.pop(name, None)
        self.reported.discard(name)
        self.corrupt.discard(name)

    def _present(self, name: Name, command: Put) -> None:
        block = self.blocks.get(name)
        if block is not None:
            block.certain = True
            block.offered.add(command.version)

    def _unsure(self, name: Name, version: int, nbytes: int, *, late: bool = False) -> None:
        """A put ended without saying whether the block is there."""
        known = self.blocks.get(name)
        if known is None:
            self.blocks[name] = Block(nbytes, frozenset({version}), certain=False, owed=False, late=late)
        elif not known.must_be_there:
            known.versions |= {version}

    def _got(self, name: Name, seen: Seen, command: Get) -> None:
        block = self.blocks.get(name)
        if block is not None and block.nbytes != command.nbytes:
            block.suspect = True
        elif seen.outcome == "hit":
            if block is not None:
                block.certain, block.suspect = True, block.suspect and self.fault is not None
                if seen.version in block.versions:
                    block.versions = frozenset({seen.version})
        elif self.fault is None and command.deadline_s >= SHORT_S:
            self._vanished(name, seen.outcome)
            if seen.outcome == "corrupt":
                self.corrupt.add(name)

    def _told(self, name: Name, visible: bool) -> None:
        block = self.blocks.get(name)
        if self.fault is not None:
            return
        self.told[name] = visible
        if visible and block is not None:
            block.certain = True
        elif not visible:
            self._vanished(name, "not visible any more")

    def _vanished(self, name: Name, how: str) -> None:
        block = self.blocks.pop(name, None)
        if block is None:
            return
        self.absent[name] = "lost"
        if block.certain and block.owed and name not in self.reported:
            self.gone[name] = how

    def _removed(self, name: Name) -> None:
        self.told.pop(name, None)
        self._expose(name)
        if self.fault is not None:
            self._maybe_left(name)
            return
        block = self.blocks.pop(name, None)
        if block is not None:
            self.absent[name] = "lost" if block.suspect else "removed"

    def _maybe_left(self, name: Name) -> None:
        block = self.blocks.get(name)
        if block is not None:
            block.certain = block.owed = False

    def _expose(self, name: Name) -> None:
        for (namespace, key), block in self.blocks.items():
            if key == name[1] and namespace != name[0]:
                block.exposed = True

    def _lost(self, one: Lost) -> None:
        name = (one.namespace, one.key)
        expected = self.gone.pop(name, None) is not None
        block = self.blocks.get(name)
        if block is not None and block.renewed:  # its former life is meant, or perhaps this one
            block.renewed, block.suspect = False, block.suspect or not expected
            return
        self.reported.add(name)
        self.told.pop(name, None)
        if self.blocks.pop(name, None) is not None:
            self.absent[name] = "lost"

    def _suspect(self, *, owed: bool) -> None:
        self.told.clear()
        for block in self.blocks.values():
            block.suspect, block.owed = True, block.owed and owed

    def _reopened(self) -> None:
        if not self.persistent:
            self.blocks.clear()
        elif self.shaken:
            self._may_be_back(self.put_versions)
        if self.damaged:
            self._suspect(owed=False)
        self.closed = self.killed = False
        self.reopened = True
        for block in self.blocks.values():
            block.late, block.carried = False, True
        for known in (self.gone, self.reported, self.told, self.corrupt, self.absent):
            known.clear()

    def _crash(self, command: Crash, done: tuple[TierStep, ...]) -> None:
        for step in done:
            self.apply(step)
            if isinstance(step.command, Remove):
                self._may_be_back([(step.command.namespace, key) for key in step.command.keys])
        unfinished = command.commands[len(done)] if len(done) < len(command.commands) else None
        if isinstance(unfinished, Put):
            self._put(unfinished, TierStep(command=unfinished))
        elif isinstance(unfinished, Remove):
            for key in unfinished.keys:
                self._maybe_left((unfinished.namespace, key))
        self.closed = self.killed = True
        self.told.clear()
        self.gone.clear()

    def _may_be_back(self, names: Iterable[Name]) -> None:
        """A removal need not outlive a kill or a device that refused it: a block may be back that nobody asks for."""
        for name in names:
            if name not in self.blocks and name in self.put_versions:
                versions = frozenset(self.put_versions[name])
                self.blocks[name] = Block(self.nbytes, versions, certain=False, owed=False)

    def _together(self, command: Together, step: TierStep) -> None:
        self.told.clear()
        acts = [
            pair
            for acts, acted in zip(command.threads, step.acts, strict=False)
            for pair in zip(acts, acted, strict=False)
        ]
        removed = {key for act, _ in acts if act.op == "remove" for key in act.keys}
        for act, acted in acts:
            if act.op != "put":
                continue
            for number, key in enumerate(act.keys):
                name = (command.namespace, key)
                self.put_versions.setdefault(name, set()).add(act.version)
                self.absent.pop(name, None)
                seen = acted.blocks[number] if acted.blocks and number < len(acted.blocks) else None
                self._put_by_one(name, act.version, seen, command.nbytes, key in removed)
        for key in removed:
            self._maybe_left((command.namespace, key))

    def _put_by_one(self, name: Name, version: int, seen: Seen | None, nbytes: int, contested: bool) -> None:
        known = self.blocks.get(name)
        stored = seen is not None and seen.outcome == "stored"
        if contested and known is not None:
            known.versions |= {version}
        elif stored and (known is None or not known.certain):
            self.blocks[name] = Block(nbytes, frozenset({version}))
            self.absent.pop(name, None)
        elif stored or contested or seen is None:
            self._unsure(name, version, nbytes)

    def bounds(self) -> tuple[int, int, int, int]:
        """Return the least and the most blocks, and the least and the most bytes, that there can be."""
        sure = [block.nbytes for block in self.blocks.values() if block.must_be_there]
        every = [block.nbytes for block in self.blocks.values()]
        return len(sure), len(every), sum(sure), sum(every)

    def elsewhere(self, name: Name) -> bool:
        """Say whether the key of ``name`` is there in another namespace and not in this one."""
        return name not in self.blocks and any(key == name[1] for _, key in self.blocks)

    def names(self, namespace: str) -> Iterator[str]:
        """Yield the keys that are, or may be, in ``namespace``."""
        return (key for where, key in self.blocks if where == namespace)
