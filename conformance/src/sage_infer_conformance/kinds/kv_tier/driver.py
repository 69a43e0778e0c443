"""Carries commands to a tier. Its folder, where it is persistent, is made and removed here."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from typing import cast

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.store import KVStoreTier
from sage_infer_contracts.testing import Subject

from ...history.steps import carry_out
from .closing import ask_closed, close_busy
from .contents import Library
from .damage import do_damage
from .extent import measure
from .faults import Faults
from .operations import Ended, describe, get_blocks, put_blocks
from .regions import Regions
from .steps import (
    HARMLESS,
    Contains,
    Crash,
    Create,
    Damage,
    Fault,
    Footprint,
    Get,
    Held,
    Lost,
    Put,
    Remove,
    TierStep,
    Together,
)
from .threads import act_together
from .writer import Writers


class TierDriver:
    """One tier at a time. ``home`` is given where another process already has a folder for it."""

    def __init__(self, subject: Subject, name: str, home: str | None = None) -> None:
        self._subject = subject
        self._name = name
        self._home = home
        self._lent = home is not None
        self._tier: KVStoreTier | None = None
        self._capacity_bytes = 0
        self._library = Library()
        self._faults: Faults | None = None
        self._armed = False
        self._watched: list[Regions] = []
        self._kept: list[Regions] = []
        self._writers: Writers | None = None

    def execute(self, command: object) -> TierStep:
        """Do ``command``."""
        step = TierStep(command=command)  # type: ignore[arg-type]  # the caller read it as one of the union
        return carry_out(step, self._do)

    def close(self) -> None:
        """Close the tier and remove its folder."""
        if self._faults is not None:
            self._faults.uninstall()
        if self._tier is not None:
            with contextlib.suppress(Exception):  # closing is judged where a scenario asks for it
                self._tier.close()
        self._tier = None
        if self._writers is not None:
            self._writers.close()
        if self._home is not None and not self._lent:
            shutil.rmtree(self._home, ignore_errors=True)
        self._watched.clear()
        self._kept.clear()

    def _do(self, step: TierStep) -> TierStep:
        command = step.command
        if isinstance(command, Create):
            return self._create(step, command)
        if command.op == "reopen":
            if command.close_first and self._tier is not None:
                self._tier.close()
            return self._made(step)
        if isinstance(command, Crash):
            return self._crash(step, command)
        if isinstance(command, Damage):
            done = self._home is not None and do_damage(self._home, command)
            return step.model_copy(update={"damaged": done})
        if command.op in ("fault", "heal"):
            return self._fault(step)
        if self._tier is None:
            raise RuntimeError("a history begins with 'create'")
        return self._ask(self._tier, step)

    def _ask(self, tier: KVStoreTier, step: TierStep) -> TierStep:
        """Do what is asked of the tier itself."""
        command = step.command
        if isinstance(command, Put | Get):
            return self._transfer(tier, step, command)
        if isinstance(command, Contains):
            keys = [self._library.key(key) for key in command.keys]
            return step.model_copy(
                update={"visible": tuple(map(bool, tier.contains(command.namespace, keys)))}
            )
        if isinstance(command, Remove):
            keys = [self._library.key(key) for key in command.keys]
            return step.model_copy(update={"removed": int(tier.remove(command.namespace, keys))})
        if command.op == "take_lost":
            lost = [
                Lost(namespace=where, key=self._library.name(key), reason=why)
                for where, key, why in tier.take_lost()
            ]
            return step.model_copy(update={"lost": tuple(lost)})
        if command.op == "usage":
            usage = tier.usage()
            held = Held(blocks=usage.blocks, bytes=usage.bytes, capacity_bytes=usage.capacity_bytes)
            return step.model_copy(update={"usage": held})
        if isinstance(command, Together):
            return step.model_copy(update={"acts": act_together(tier, self._library, command, self._kept)})
        if isinstance(command, Footprint):
            return step.model_copy(update={"extent": measure(tier, command, self._home)})
        return self._end(tier, step)

    def _end(self, tier: KVStoreTier, step: TierStep) -> TierStep:
        command = step.command
        if command.op == "ask_closed":
            return step.model_copy(
                update={"closed": ask_closed(tier, self._library, command.key, command.nbytes)}
            )
        if command.op == "close_busy":
            close_busy(tier, self._library, command, self._kept)
        else:
            tier.close()
        return step

    def _transfer(self, tier: KVStoreTier, step: TierStep, command: Put | Get) -> TierStep:
        ended, regions = _carry_out(tier, self._library, command)
        seen = describe(self._library, command, ended, regions)
        outside = regions.outside() if seen is not None else 0
        if seen is None or isinstance(command, Put):
            self._kept.append(regions)  # a tier that still looks at them must find memory there
        if seen is not None and self._armed:
            regions.fill()
            self._watched.append(regions)
        return step.model_copy(
            update={"blocks": seen, "ended": seen is not None, "seconds": ended.seconds, "outside": outside}
        )

    def _create(self, step: TierStep, command: Create) -> TierStep:
        self._capacity_bytes = command.capacity_bytes
        if self._home is None and self._subject.facts.get("persistent") is not False:
            self._home = tempfile.mkdtemp(prefix="sage-infer-tier-")
        if command.io and self._home is not None:
            self._faults = Faults(self._home)
            self._faults.install()
        return self._made(step)

    def _made(self, step: TierStep) -> TierStep:
        """Make the tier, with a path if it takes one; a tier that takes none is not persistent."""
        self._tier = None
        options = {"capacity_bytes": self._capacity_bytes, **self._subject.options}
        if self._home is None:
            tier = self._subject.create(**options)
        else:
            try:
                tier = self._subject.create(path=self._home, **options)
            except (TypeError, InvalidRequest):
                tier = self._subject.create(**options)
        self._tier = cast(KVStoreTier, tier)
        return step.model_copy(update={"capabilities": tuple(sorted(map(str, self._tier.capabilities)))})

    def _fault(self, step: TierStep) -> TierStep:
        command = step.command
        if self._faults is None:
            return step
        if isinstance(command, Fault):
            self._armed = self._armed or command.kind not in HARMLESS
            self._faults.arm(command)
            return step
        self._faults.heal()
        self._armed = False
        time.sleep(0.02)
        late = sum(regions.changed() for regions in self._watched)
        self._kept += self._watched
        self._watched = []
        return step.model_copy(update={"late": late})

    def _crash(self, step: TierStep, command: Crash) -> TierStep:
        assert self._home is not None
        if self._tier is not None:
            self._tier.close()
            self._tier = None
        if self._writers is None:
            self._writers = Writers(self._name)
        done = self._writers.run(self._home, self._capacity_bytes, command)
        for one in done:
            self._remember(one.command)
        self._remember(command.commands[min(len(done), len(command.commands) - 1)])
        return step.model_copy(update={"done": tuple(done)})

    def _remember(self, command: object) -> None:
        """Learn the bytes that another process put."""
        if isinstance(command, Put):
            for key in command.keys:
                self._library.key(key)
                self._library.content(command.namespace, key, command.version, command.nbytes)


def _carry_out(tier: KVStoreTier, library: Library, command: Put | Get) -> tuple[Ended, Regions]:
    if isinstance(command, Put):
        return put_blocks(tier, library, command)
    return get_blocks(tier, library, command)
