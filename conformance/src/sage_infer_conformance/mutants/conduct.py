"""Broken conduct of any kind of plugin, shown on eviction policies: errors, leftovers, noise."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, Any

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.eviction import BlockInfo

from ..kinds.eviction.reference import ReferencePolicy
from .mutant import Ward

MUTANTS = Ward("eviction")
_OPEN: list[IO[Any]] = []


@MUTANTS.add("PK-04", "a bare KeyError for a block that it does not know")
class StrangersRaise(ReferencePolicy):
    def touch(self, key: ContentKey) -> None:
        if key not in self.nodes:
            raise KeyError(key)
        super().touch(key)


@MUTANTS.add("PK-04", "native code aborts the process when nothing can be found")
class AbortsProcess(ReferencePolicy):
    def victims(self, count: int) -> Sequence[ContentKey] | None:
        found = super().victims(count)
        if found is None:
            os.abort()
        return found


@MUTANTS.add("PK-04", "leaves the interpreter when an internal check fails")
class ExitsInterpreter(ReferencePolicy):
    def discard(self, key: ContentKey) -> None:
        if self.nodes[key].pins:
            sys.exit("a pinned block was discarded")
        super().discard(key)


@MUTANTS.add("PK-05", "starts a thread for each policy and never ends it")
class ThreadForEver(ReferencePolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        threading.Thread(target=threading.Event().wait, name="policy-sweeper", daemon=True).start()


@MUTANTS.add("PK-05", "keeps the trace file of each policy open")
class TraceFileStaysOpen(ReferencePolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        _OPEN.append(tempfile.TemporaryFile())  # noqa: SIM115 - that nobody closes it is the fault


@MUTANTS.add("PK-05", "starts a helper process and leaves it behind")
class HelperProcessStays(ReferencePolicy):
    def __init__(self, capacity_blocks: int) -> None:
        super().__init__(capacity_blocks)
        self.helper = subprocess.Popen(["sleep", "60"])


@MUTANTS.add("PK-08", "prints the head of its queue at every use")
class PrintsQueue(ReferencePolicy):
    def touch(self, key: ContentKey) -> None:
        super().touch(key)
        print(*(bytes(block).hex() for block in itertools.islice(self.idle, 8)))


@MUTANTS.add("PK-08", "writes a long warning for each block whose parent is not resident")
class WarnsAtLength(ReferencePolicy):
    def admit(self, block: BlockInfo) -> None:
        super().admit(block)
        if block.parent not in self.nodes:
            sys.stderr.write(
                f"warning: {bytes(block.key).hex()} has no resident parent\n" + "  at admit\n" * 200
            )
