"""Memory of one device as the tier ``hbm`` uses it: blocks, caller's regions, and a lane of staged copies per thread.

torch is imported by :meth:`DeviceMemory.prepare` only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

from sage_infer_contracts.errors import DeviceUnavailable, PluginConflict, PluginLoadError
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.membership import missing_members
from sage_infer_contracts.runtime import DeviceRuntime

if TYPE_CHECKING:
    import torch

CHUNK_BYTES = 1 << 20
"""Bytes staged at a time: long enough to keep a PCIe link busy, short enough for a poll to wait for."""
_SLOTS = 2


def find_runtime(device: str) -> DeviceRuntime:
    """Return the runtime that a plugin publishes as ``device``, ``dist:name`` included; not prepared.

    Raises ``DeviceUnavailable`` when none is installed, ``PluginConflict`` when several are, ``PluginLoadError``.
    """
    distribution, _, name = device.rpartition(":")
    group = PluginKind.DEVICE.group
    found = [
        point
        for point in entry_points(group=group, name=name)
        if not distribution or (point.dist is not None and point.dist.name == distribution)
    ]
    if not found:
        known = ", ".join(sorted({point.name for point in entry_points(group=group)})) or "none"
        raise DeviceUnavailable(
            f"no plugin provides the device {device!r} under {group}; installed: {known}",
            reason="no_device_runtime",
        )
    if len(found) > 1:
        owners = ", ".join(sorted(point.dist.name if point.dist else "?" for point in found))
        raise PluginConflict(
            f"several distributions provide the device {name!r}: {owners}; name it DISTRIBUTION:{name}",
            kind=PluginKind.DEVICE.value,
            name=name,
        )
    return _made(found[0].load, device)


def _made(load: Callable[[], Any], device: str) -> DeviceRuntime:
    try:
        runtime = load()()
    except Exception as error:  # boundary: a foreign module and constructor
        raise PluginLoadError(f"the runtime of {device!r} cannot be created: {error}", name=device) from error
    lacking = missing_members(runtime, DeviceRuntime)
    if lacking:
        raise PluginLoadError(f"the runtime of {device!r} lacks {', '.join(lacking)}", name=device)
    return cast(DeviceRuntime, runtime)


class DeviceMemory:
    """Bytes on device ``index`` of ``runtime``."""

    def __init__(self, runtime: DeviceRuntime, index: int) -> None:
        self.runtime = runtime
        self.index = index

    def prepare(self) -> None:
        """Import what the device needs and find it; raises ``DeviceUnavailable``."""
        self.runtime.prepare()
        import torch

        self._torch = torch
        self._device = self.runtime.device(self.index)
        self.label = str(self._device)

    @property
    def total_bytes(self) -> int:
        """All memory of the device, as it measures it."""
        return self.runtime.memory_info(self.index).total_bytes

    def allocate(self, nbytes: int) -> torch.Tensor:
        """Return ``nbytes`` of device memory, for the current stream; raises what the framework raises."""
        return self._torch.empty(nbytes, dtype=self._torch.uint8, device=self._device)

    def at(self, address: int, nbytes: int) -> torch.Tensor:
        """Return memory of this device that somebody else owns, without a copy."""
        storage = self._torch._C._construct_storage_from_data_pointer(address, self._device, nbytes)
        empty = self._torch.empty(0, dtype=self._torch.uint8, device=self._device)
        return empty.set_(storage, 0, (nbytes,))

    def lane(self) -> Lane:
        """Return a new lane, for one thread."""
        return Lane(self)

    def pinned(self, nbytes: int) -> torch.Tensor:
        """Return host memory that the device copies from without staging of its own."""
        pinned: torch.Tensor = self.runtime.pinned_empty((nbytes,), self._torch.uint8)
        return pinned

    def release(self) -> None:
        """Give memory that nobody uses any more back to the system."""
        self.runtime.empty_cache(self.index)


class Lane:
    """A stream and two pinned pieces of host memory, one filled while the other is on its way. For one thread."""

    def __init__(self, memory: DeviceMemory) -> None:
        self._memory = memory
        self._runtime = memory.runtime
        self._stream = memory.runtime.new_stream(memory.index)
        with self._runtime.stream(self._stream):  # or memory would be pinned for this thread's default device
            self._staging = [memory.pinned(CHUNK_BYTES) for _ in range(_SLOTS)]
        self._events: list[Any] = [None] * _SLOTS

    def allocate(self, nbytes: int) -> torch.Tensor:
        """Return a new block. It is this stream's, so that no work queued elsewhere still uses its memory."""
        with self._runtime.stream(self._stream):
            return self._memory.allocate(nbytes)

    def upload(self, block: torch.Tensor, fill: Callable[[int, torch.Tensor], None]) -> None:
        """Write ``block``: ``fill(offset, piece)`` puts what belongs there into a piece of host memory."""
        for number, (offset, nbytes) in enumerate(_chunks(block.numel())):
            slot = number % _SLOTS
            self._wait(slot)
            piece = self._staging[slot][:nbytes]
            fill(offset, piece)
            self._start(slot, block[offset : offset + nbytes], piece)
        self.drain()

    def download(self, block: torch.Tensor, take: Callable[[int, torch.Tensor], None]) -> None:
        """Read ``block``: ``take(offset, piece)`` is given each piece in host memory, which is then used again."""
        chunks = list(_chunks(block.numel()))
        for number in range(len(chunks) + 1):
            if number < len(chunks):
                offset, nbytes = chunks[number]
                slot = number % _SLOTS
                self._start(slot, self._staging[slot][:nbytes], block[offset : offset + nbytes])
            if number:
                offset, nbytes = chunks[number - 1]
                slot = (number - 1) % _SLOTS
                self._wait(slot)
                take(offset, self._staging[slot][:nbytes])

    def across(self, destination: torch.Tensor, source: torch.Tensor) -> None:
        """Copy on the device, and wait until it is done."""
        self._start(0, destination, source)
        self._wait(0)

    def drain(self) -> None:
        """Wait for all that was started here."""
        for slot in range(_SLOTS):
            self._wait(slot)

    def settle(self) -> bool:
        """Wait for all that was started; False if the device failed, and nothing is known of what it still does."""
        settled = True
        for slot in range(_SLOTS):
            try:
                self._wait(slot)
            except Exception:  # noqa: BLE001 - the failure was or will be raised by the copy itself
                settled = False
        return settled

    def _start(self, slot: int, destination: torch.Tensor, source: torch.Tensor) -> None:
        with self._runtime.stream(self._stream):
            self._runtime.copy(destination, source, non_blocking=True)
            self._events[slot] = self._runtime.record_event(self._stream)

    def _wait(self, slot: int) -> None:
        event, self._events[slot] = self._events[slot], None
        if event is not None:
            event.synchronize()


def _chunks(nbytes: int) -> Iterator[tuple[int, int]]:
    for offset in range(0, nbytes, CHUNK_BYTES):
        yield offset, min(CHUNK_BYTES, nbytes - offset)
