"""Several threads that use one tier at once."""

from __future__ import annotations

import sys
import threading
import time

from sage_infer_contracts.store import KVStoreTier

from ...history.steps import Raised
from .contents import Library
from .operations import describe, get_blocks, put_blocks
from .regions import Regions
from .steps import Act, Acted, Get, Put, Together

_DEADLINE_S = 8.0
_JOIN_S = 20.0
_SWITCH_S = 5e-6
"""Threads change places this often, so that what is not atomic shows."""


class _Crowd:
    """What the threads share."""

    def __init__(self, tier: KVStoreTier, library: Library, command: Together, kept: list[Regions]) -> None:
        self.tier, self.library, self.command, self.kept = tier, library, command, kept
        self.start = threading.Barrier(len(command.threads))
        self.busy = sum(any(act.op != "watch" for act in acts) for acts in command.threads)
        self.lock = threading.Lock()

    def play(self, acts: tuple[Act, ...], into: list[Acted]) -> None:
        """Do the acts of one thread."""
        self.start.wait(_JOIN_S)
        for act in acts:
            try:
                into.append(self._watch(act) if act.op == "watch" else self._act(act))
            except Exception as error:  # noqa: BLE001 - whatever the subject raises is what is recorded
                into.append(Acted(error=Raised.of(error)))
        if any(act.op != "watch" for act in acts):
            with self.lock:
                self.busy -= 1

    def _act(self, act: Act) -> Acted:
        where = self.command.namespace
        if act.op == "remove":
            return Acted(removed=self.tier.remove(where, [self.library.key(key) for key in act.keys]))
        return Acted(blocks=self._transfer(self._command(act)))

    def _command(self, act: Act) -> Put | Get:
        where, nbytes = self.command.namespace, self.command.nbytes
        if act.op == "put":
            return Put(
                namespace=where, keys=act.keys, version=act.version, nbytes=nbytes, deadline_s=_DEADLINE_S
            )
        return Get(namespace=where, keys=act.keys, nbytes=nbytes, deadline_s=_DEADLINE_S)

    def _transfer(self, command: Put | Get) -> tuple:  # type: ignore[type-arg]
        if isinstance(command, Put):
            ended, regions = put_blocks(self.tier, self.library, command)
            self.kept.append(regions)
        else:
            ended, regions = get_blocks(self.tier, self.library, command)
        seen = describe(self.library, command, ended, regions)
        if seen is None:
            self.kept.append(regions)
            raise TimeoutError(f"no outcome {ended.seconds:.1f} s after {command.op}")
        return seen

    def _watch(self, act: Act) -> Acted:
        """Look at blocks until the others are done, and once more; what contains names, get must give, whole."""
        torn = vanished = 0
        keys = [self.library.key(key) for key in act.keys]
        until = time.monotonic() + _DEADLINE_S
        last = False
        while not last and time.monotonic() < until:
            last = self.busy == 0
            visible = self.tier.contains(self.command.namespace, keys)
            seen = self._transfer(self._command(Act(op="get", keys=act.keys)))
            torn += sum(
                one.outcome == "corrupt" or (one.outcome == "hit" and one.version is None) for one in seen
            )
            vanished += sum(there and one.outcome != "hit" for there, one in zip(visible, seen, strict=True))
        return Acted(torn=torn, vanished=vanished)


def act_together(
    tier: KVStoreTier, library: Library, command: Together, kept: list[Regions]
) -> tuple[tuple[Acted, ...], ...]:
    """Let every thread do its acts, all at once, and return what came of each."""
    crowd = _Crowd(tier, library, command, kept)
    results: list[list[Acted]] = [[] for _ in command.threads]
    for acts in command.threads:
        for act in acts:  # the library must know all bytes before one thread sees those of another
            for key in act.keys:
                library.key(key)
                if act.op == "put":
                    library.content(command.namespace, key, act.version, command.nbytes)
    threads = [
        threading.Thread(target=crowd.play, args=(acts, into), name="kit-thread", daemon=True)
        for acts, into in zip(command.threads, results, strict=True)
    ]
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        for thread in threads:
            thread.start()
        until = time.monotonic() + _JOIN_S
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
    finally:
        sys.setswitchinterval(before)
    return tuple(tuple(into) for into in results)
