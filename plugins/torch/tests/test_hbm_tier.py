"""The tier ``hbm`` beyond what the conformance kit asks of every tier. The CPU stands in for an accelerator."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.errors import CapacityExceeded, DeviceUnavailable, PluginConflict, PluginLoadError
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_torch import hbm_device
from sage_infer_torch.device_cpu import CpuRuntime
from sage_infer_torch.hbm_device import CHUNK_BYTES, DeviceMemory, find_runtime
from sage_infer_torch.hbm_tier import HbmTier

pytestmark = pytest.mark.engine
NBYTES = 2 * CHUNK_BYTES + 700_001
"""Several chunks, and a part of one."""
OWN = "fake:0"


def key(number: int) -> ContentKey:
    return ContentKey(number.to_bytes(32, "big"))


class Memory:
    """Caller-owned memory of one block, on the host or on what counts as the device."""

    def __init__(self, data: bytes, device: str = "cpu") -> None:
        self.data = ctypes.create_string_buffer(data, len(data))
        self.region = MemoryRegion(device=device, address=ctypes.addressof(self.data), nbytes=len(data))


class Device(CpuRuntime):
    """A device whose copies can be made to fail or to hang."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.log: list[str] = []

    def copy(self, destination: Any, source: Any, *, non_blocking: bool = False) -> None:
        assert self.free.wait(20)
        if self.error is not None:
            raise self.error
        super().copy(destination, source)

    def record_event(self, stream: Any) -> Any:
        return self

    def synchronize(self, index: int | None = None) -> None:
        """Let this object be the event, too."""
        if self.error is not None:
            raise self.error


def wait(tier: HbmTier, handle: int) -> list[tuple[str, str | None]]:
    until = time.monotonic() + 20
    while (outcomes := tier.poll(handle)) is None:
        assert time.monotonic() < until
        time.sleep(0.001)
    return [(one.outcome, one.reason) for one in outcomes]


def put(tier: HbmTier, number: int, data: bytes, *, device: str = "cpu", namespace: str = "a") -> str:
    memory = Memory(data, device)
    handle = tier.submit_put(namespace, [key(number)], [memory.region], deadline_s=10)
    return wait(tier, handle)[0][0]


def get(
    tier: HbmTier, number: int, nbytes: int = NBYTES, *, device: str = "cpu", namespace: str = "a"
) -> tuple[str, bytes]:
    memory = Memory(bytes(nbytes), device)
    handle = tier.submit_get(namespace, [key(number)], [memory.region], deadline_s=10)
    return wait(tier, handle)[0][0], memory.data.raw


Make = Callable[..., HbmTier]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make tiers for which host memory called ``fake:0`` is the device's own."""
    real, made = DeviceMemory.prepare, []

    def prepare(self: DeviceMemory) -> None:
        real(self)
        self.label = OWN

    def tier(**options: Any) -> HbmTier:
        made.append(HbmTier(**{"capacity_bytes": 3 * NBYTES, **options}))
        return made[-1]

    monkeypatch.setattr(DeviceMemory, "prepare", prepare)
    yield tier
    for one in made:
        one.close()


@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("source", ["cpu", OWN])
@pytest.mark.parametrize("target", ["cpu", OWN])
def test_a_block_comes_back_as_it_was(make: Make, source: str, target: str, checksum: bool) -> None:
    tier = make(checksum=checksum)
    for number, nbytes in enumerate((1, CHUNK_BYTES, NBYTES)):
        data = os.urandom(nbytes)
        assert put(tier, number, data, device=source) == "stored"
        assert get(tier, number, nbytes, device=target) == ("hit", data)
        assert get(tier, number, nbytes, device=target, namespace="b")[0] == "missing"
    assert put(tier, 0, b"x") == "present"


def test_blocks_of_another_size_find_the_room_that_removed_ones_left(make: Make) -> None:
    tier = make()
    for number in range(3):
        assert put(tier, number, os.urandom(NBYTES)) == "stored"
    assert put(tier, 3, b"x" * NBYTES) == "rejected"
    assert tier.remove("a", [key(0), key(1)]) == 2
    small = os.urandom(1000)
    assert put(tier, 4, small) == "stored"
    assert put(tier, 5, b"y" * (2 * NBYTES - 1000)) == "stored"
    assert get(tier, 4, 1000) == ("hit", small)
    assert (tier.usage().blocks, tier.usage().bytes) == (3, 3 * NBYTES)
    assert tier.spec().available_bytes == 0


@pytest.mark.parametrize("target", ["cpu", OWN])
def test_a_changed_bit_is_found_reported_once_and_never_served(make: Make, target: str) -> None:
    tier = make()
    put(tier, 1, os.urandom(NBYTES))
    ((_, block),) = tier._blocks.items()
    assert block.memory is not None
    block.memory[NBYTES // 2] ^= 1
    assert get(tier, 1, device=target)[0] == "corrupt"
    assert get(tier, 1, device=target)[0] == "missing"
    ((namespace, lost, reason),) = tier.take_lost()
    assert (namespace, lost, reason) == ("a", key(1), "the checksum is wrong")
    assert tier.take_lost() == []
    assert (tier.usage().blocks, tier.spec().available_bytes) == (0, 3 * NBYTES)


@pytest.mark.parametrize("where", ["cpu", OWN])
def test_a_device_that_fails_rejects_and_loses_what_it_had(make: Make, where: str) -> None:
    device = Device()
    tier = make(runtime=device)
    assert put(tier, 1, b"x" * NBYTES) == "stored"
    device.error = RuntimeError("the device fell off the bus")
    memory = Memory(b"y" * NBYTES, where)
    (rejected,) = wait(tier, tier.submit_put("a", [key(2)], [memory.region], deadline_s=10))
    assert rejected == ("rejected", "RuntimeError: the device fell off the bus")
    (missing,) = wait(tier, tier.submit_get("a", [key(1)], [memory.region], deadline_s=10))
    assert missing == ("missing", "the device failed: RuntimeError: the device fell off the bus")
    assert [lost[1] for lost in tier.take_lost()] == [key(1)]
    assert (tier.usage().blocks, tier.spec().available_bytes) == (0, 3 * NBYTES)
    device.error = None
    assert put(tier, 3, b"z" * NBYTES) == "stored"


def test_a_poll_never_waits_for_a_device_that_hangs(make: Make) -> None:
    device = Device()
    tier = make(runtime=device, workers=1)
    put(tier, 1, b"x" * NBYTES)
    device.free.clear()
    memory = Memory(b"y" * NBYTES)
    handle = tier.submit_get("a", [key(1)], [memory.region], deadline_s=0.2)
    other = tier.submit_put("a", [key(2)], [memory.region], deadline_s=0.2)
    time.sleep(0.25)
    began = time.monotonic()
    assert wait(tier, handle) == [("missing", "deadline")]
    assert wait(tier, other) == [("rejected", "deadline")]
    assert time.monotonic() - began < 0.2
    memory.data.raw = b"mine" + bytes(NBYTES - 4)
    device.free.set()
    assert get(tier, 1)[0] == "hit"  # the thread has come back from the device
    assert memory.data.raw[:5] == b"mine\0", "touched after its outcome"
    assert get(tier, 2)[0] == "missing"


def test_a_device_without_memory_rejects_and_gives_the_room_back(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = make()

    def full(self: DeviceMemory, nbytes: int) -> Any:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(DeviceMemory, "allocate", full)
        assert put(tier, 1, b"x" * NBYTES) == "rejected"
    assert tier.spec().available_bytes == 3 * NBYTES
    assert put(tier, 1, b"x" * NBYTES) == "stored"


def test_more_than_the_device_has_is_refused() -> None:
    with pytest.raises(CapacityExceeded, match="a tier of 1152921504606846976 was asked for"):
        HbmTier(capacity_bytes=1 << 60)


class Point:
    """An entry point as importlib.metadata gives it."""

    def __init__(self, owner: str, loaded: object) -> None:
        self.name, self.dist, self._loaded = "acme", type("Dist", (), {"name": owner}), loaded

    def load(self) -> object:
        return self._loaded


def test_a_device_is_found_by_name_and_never_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceUnavailable, match=r"no plugin provides the device 'nonesuch'.*cpu") as caught:
        find_runtime("nonesuch")
    assert caught.value.reason == "no_device_runtime"
    points = [Point("one", CpuRuntime), Point("two", CpuRuntime)]
    monkeypatch.setattr(hbm_device, "entry_points", lambda **_: points)
    with pytest.raises(PluginConflict, match=r"one, two; name it DISTRIBUTION:acme"):
        find_runtime("acme")
    assert isinstance(find_runtime("two:acme"), CpuRuntime)
    points[:] = [Point("one", dict)]
    with pytest.raises(PluginLoadError, match="lacks name"):
        find_runtime("acme")
    points[:] = [Point("one", lambda: 1 / 0)]
    with pytest.raises(PluginLoadError, match="cannot be created"):
        find_runtime("acme")
