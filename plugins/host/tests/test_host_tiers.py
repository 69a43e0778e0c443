"""The tiers ``dram`` and ``ssd`` beyond what the conformance kit asks of every tier."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeviceUnavailable,
    InvalidRequest,
    Unsupported,
)
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_host.dram_tier import DramTier
from sage_infer_host.ssd_tier import SsdTier

NBYTES = 700_001
"""Several chunks, and a part of one."""


def key(number: int) -> ContentKey:
    return ContentKey(number.to_bytes(32, "big"))


class Memory:
    """Caller-owned memory of one block."""

    def __init__(self, data: bytes) -> None:
        self.data = ctypes.create_string_buffer(data, len(data))
        self.region = MemoryRegion(device="cpu", address=ctypes.addressof(self.data), nbytes=len(data))


def wait(tier: DramTier | SsdTier, handle: int) -> list[str]:
    until = time.monotonic() + 20
    while (outcomes := tier.poll(handle)) is None:
        assert time.monotonic() < until
        time.sleep(0.001)
    return [one.outcome for one in outcomes]


def put(tier: DramTier | SsdTier, number: int, data: bytes, namespace: str = "a") -> str:
    memory = Memory(data)
    return wait(tier, tier.submit_put(namespace, [key(number)], [memory.region], deadline_s=10))[0]


def get(
    tier: DramTier | SsdTier, number: int, nbytes: int = NBYTES, namespace: str = "a"
) -> tuple[str, bytes]:
    memory = Memory(bytes(nbytes))
    outcome = wait(tier, tier.submit_get(namespace, [key(number)], [memory.region], deadline_s=10))[0]
    return outcome, memory.data.raw


@pytest.fixture(params=["dram", "dram without hand-over", "ssd"])
def tier(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DramTier | SsdTier]:
    capacity = 3 * NBYTES
    if request.param == "ssd":
        made: DramTier | SsdTier = SsdTier(capacity_bytes=capacity, path=tmp_path / "tier")
    else:
        made = DramTier(capacity_bytes=capacity, inline_bytes=0 if request.param == "dram" else 1 << 30)
    yield made
    made.close()


def test_a_block_of_many_chunks_comes_back_as_it_was(tier: DramTier | SsdTier) -> None:
    data = os.urandom(NBYTES)
    assert put(tier, 1, data) == "stored"
    assert get(tier, 1) == ("hit", data)
    assert get(tier, 1, namespace="b")[0] == "missing"


def test_blocks_of_another_size_find_the_room_that_removed_ones_left(tier: DramTier | SsdTier) -> None:
    for number in range(3):
        assert put(tier, number, os.urandom(NBYTES)) == "stored"
    assert put(tier, 3, b"x" * NBYTES) == "rejected"
    assert tier.remove("a", [key(0), key(1)]) == 2
    small = os.urandom(1000)
    assert put(tier, 4, small) == "stored"
    assert put(tier, 5, b"y" * (2 * NBYTES - 1000)) == "stored"
    assert get(tier, 4, 1000) == ("hit", small)
    usage = tier.usage()
    assert (usage.blocks, usage.bytes) == (3, 3 * NBYTES)


def test_outcomes_are_given_once_and_other_memory_is_refused(tier: DramTier | SsdTier) -> None:
    memory = Memory(b"abc")
    handle = tier.submit_put("a", [key(1)], [memory.region], deadline_s=10)
    assert wait(tier, handle) == ["stored"]
    with pytest.raises(InvalidRequest, match="given once"):
        tier.poll(handle)
    elsewhere = MemoryRegion(device="cuda:0", address=4096, nbytes=3)
    with pytest.raises(Unsupported, match="cuda:0"):
        tier.submit_get("a", [key(1)], [elsewhere], deadline_s=10)
    tier.close()
    with pytest.raises(BackendUnavailable):
        tier.submit_get("a", [key(1)], [memory.region], deadline_s=10)


def test_batches_that_nobody_polls_are_bounded() -> None:
    tier = DramTier(capacity_bytes=100, max_pending=4)
    memory = Memory(b"x")
    for number in range(4):
        tier.submit_put("a", [key(number)], [memory.region], deadline_s=10)
    with pytest.raises(CapacityExceeded, match="poll them first"):
        tier.submit_put("a", [key(9)], [memory.region], deadline_s=10)
    tier.close()


def test_ssd_has_one_user_at_a_time_and_survives_a_lock_file(tmp_path: Path) -> None:
    first = SsdTier(capacity_bytes=1000, path=tmp_path)
    with pytest.raises(DeviceUnavailable, match="another tier uses"):
        SsdTier(capacity_bytes=1000, path=tmp_path)
    first.close()
    SsdTier(capacity_bytes=1000, path=tmp_path).close()


def test_ssd_touches_no_file_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    strange = [tmp_path / "letter.txt", tmp_path / "photos" / "a-b-c", tmp_path / "photos" / "draft.part"]
    for path in strange:
        path.write_text("mine")
    SsdTier(capacity_bytes=1000, path=tmp_path).close()
    assert all(path.read_text() == "mine" for path in strange)


def test_ssd_made_smaller_reports_what_does_not_fit(tmp_path: Path) -> None:
    tier = SsdTier(capacity_bytes=3000, path=tmp_path)
    for number in range(3):
        assert put(tier, number, os.urandom(1000)) == "stored"
    tier.close()
    again = SsdTier(capacity_bytes=2000, path=tmp_path)
    assert again.usage().blocks == 2
    ((namespace, _, reason),) = again.take_lost()
    assert (namespace, reason) == ("a", "the capacity is smaller now")
    again.close()


def test_ssd_that_cannot_have_its_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DeviceUnavailable, match="cannot be used"):
        SsdTier(capacity_bytes=1000, path=tmp_path / "file")


def test_starting_reads_no_block(tmp_path: Path) -> None:
    tier = SsdTier(capacity_bytes=10 << 20, path=tmp_path)
    for number in range(50):
        put(tier, number, bytes(10_000))
    tier.close()
    for path in tmp_path.rglob("*-*"):
        path.chmod(0)
    again = SsdTier(capacity_bytes=10 << 20, path=tmp_path)
    assert (again.usage().blocks, again.take_lost()) == (50, [])
    again.close()
