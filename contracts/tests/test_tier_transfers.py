"""A crew's copies end by their deadline and touch nothing afterwards, wherever the device got stuck."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable

import pytest

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.errors import BackendUnavailable, InvalidRequest, Unsupported
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.store import BlockOutcome
from sage_infer_contracts.tiers.transfers import Copy, Crew

KEY = ContentKey(bytes(32))


def region(memory: ctypes.Array[ctypes.c_char], device: str = "cpu") -> MemoryRegion:
    return MemoryRegion(device=device, address=ctypes.addressof(memory), nbytes=len(memory))


def submit(crew: Crew, work: Callable[[Copy], None], one: MemoryRegion, deadline_s: float = 10.0) -> int:
    return crew.submit("missing", work, "a", [KEY], [one], deadline_s)


def wait(crew: Crew, handle: int) -> BlockOutcome:
    until = time.monotonic() + 10
    while (outcomes := crew.poll(handle)) is None:
        assert time.monotonic() < until
        time.sleep(0.001)
    return outcomes[0]


def test_what_comes_late_touches_nothing_and_a_stuck_thread_is_told() -> None:
    crew = Crew("slow", workers=1, max_pending=8)
    target, source = ctypes.create_string_buffer(b"mine", 4), ctypes.create_string_buffer(b"late", 4)
    go, gone = threading.Event(), threading.Event()

    def work(copy: Copy) -> None:
        go.wait(10)
        try:
            copy.move(0, ctypes.addressof(source), 4, into_region=True)
        finally:
            gone.set()

    handle = submit(crew, work, region(target), deadline_s=0.05)
    assert wait(crew, handle) == BlockOutcome("missing", "deadline")
    assert not crew.ended
    go.set()
    assert gone.wait(10)
    assert target.raw == b"mine"
    assert crew.close()
    assert not crew.close()
    assert crew.ended
    with pytest.raises(BackendUnavailable):
        submit(crew, work, region(target))


@pytest.mark.parametrize("inline_bytes", [0, 1 << 20])
def test_an_error_of_the_work_is_the_outcome_and_the_thread_lives_on(inline_bytes: int) -> None:
    crew = Crew("broken", workers=1, max_pending=8, inline_bytes=inline_bytes)
    memory = ctypes.create_string_buffer(4)

    def fails(copy: Copy) -> None:
        raise OSError("gone")

    def works(copy: Copy) -> None:
        copy.touch(lambda: ctypes.memset(copy.region.address, 65, 4))
        copy.end(BlockOutcome("hit"))

    assert wait(crew, submit(crew, fails, region(memory))) == BlockOutcome("missing", "OSError: gone")
    assert wait(crew, submit(crew, works, region(memory))) == BlockOutcome("hit")
    assert memory.raw == b"AAAA"
    crew.close()


def test_memory_of_other_devices_is_refused_by_name() -> None:
    memory = ctypes.create_string_buffer(4)
    crew = Crew("acme", workers=1, max_pending=8, devices={"cpu", "acme:0"})
    with pytest.raises(Unsupported, match="memory on acme:1: this tier copies memory of acme:0, cpu only"):
        submit(crew, lambda copy: None, region(memory, "acme:1"))
    with pytest.raises(InvalidRequest, match="1 keys and 0 regions"):
        crew.submit("missing", lambda copy: None, "a", [KEY], [], 1.0)
    crew.close()
