"""An engine: registered memory, transfers and leases, with one thread on which all connections are served."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from weakref import WeakValueDictionary

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.devices import LinkProfile
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeadlineExceeded,
    InvalidRequest,
    Unsupported,
)
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.transport import TransferStatus, TransportPlan

from .leases import LeaseTable, overlap, within
from .link import Link
from .measured import LinkMeter
from .receiving import Receiver
from .sending import PENDING, Sender, Transfer

_JOIN_S = 10.0
_KEPT = 4096
_MOST_PENDING = 4096
_CONNECTIONS_PER_PEER = 32
_MOST_REGIONS = 20_000
_CLOSED = "the transport is closed"


class StreamTransport:
    """A :class:`~sage_infer_contracts.transport.TransportEngine` over a :class:`Link`. Thread-safe.

    Ended transfers are remembered for the last 4096 of them; at most 4096 are pending.
    """

    def __init__(self, link: Link, max_inflight_bytes: int, credential: str) -> None:
        if not credential:
            raise InvalidRequest(
                "this transport reaches other processes and needs a credential", param="credential"
            )
        if max_inflight_bytes <= 0:
            raise InvalidRequest("max_inflight_bytes must be above zero", param="max_inflight_bytes")
        secret = credential.encode()
        self._link = link
        self._max_inflight = max_inflight_bytes
        self._changed = threading.Condition()
        self._regions: dict[str, MemoryRegion] = {}
        self._transfers: OrderedDict[str, Transfer] = OrderedDict()
        self._pending: dict[str, Transfer] = {}
        self._inflight = 0
        self._next_handle = 1
        self._closed = False
        self._leases = LeaseTable()
        self._meter = LinkMeter(link.kind)
        self._sender = Sender(link, secret)
        listening, self._address = link.listen()
        self._receiver = Receiver(link, secret, self._leases, listening)
        self._slots: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"{link.kind}-transport", daemon=True)
        self._thread.start()

    @property
    def capabilities(self) -> frozenset[str]:
        """It reaches other processes."""
        return frozenset({Capability.TRANSPORT_REMOTE})

    @property
    def address(self) -> str:
        """Where peers reach this end."""
        return self._address

    # Memory and leases.

    def register_memory(self, region: MemoryRegion) -> str:
        """Make memory of the host usable, as source and as destination."""
        if region.device != "cpu":
            raise Unsupported(f"this transport moves memory of 'cpu', not {region.device!r}", param="region")
        with self._changed:
            self._refuse_if_closed()
            handle = f"region-{self._next_handle}"
            self._next_handle += 1
            self._regions[handle] = region
            return handle

    def deregister_memory(self, handle: str) -> None:
        """Undo a registration; refused while a transfer or a lease uses the memory."""
        with self._changed:
            region = self._regions.get(handle)
            if region is None:
                raise InvalidRequest(f"no region is registered as {handle!r}", param="handle")
            sending = any(overlap(part, region) for one in self._pending.values() for part in one.plan.source)
            if sending or self._leases.uses(region):
                raise InvalidRequest(f"a transfer or a lease uses {handle!r}; end it first", param="handle")
            del self._regions[handle]

    def grant_lease(
        self, lease: str, generation: int, regions: Sequence[MemoryRegion], duration_s: float
    ) -> None:
        """Let one transfer write into ``regions``."""
        with self._changed:
            self._refuse_if_closed()
            self._refuse_unregistered(regions, "regions")
            self._leases.grant(lease, generation, regions, duration_s)

    def revoke_lease(self, lease: str) -> None:
        """End a lease; on return its regions are left alone."""
        self._leases.revoke(lease)

    # Transfers.

    def submit(self, plan: TransportPlan) -> str:
        """Start a transfer; its handle is the plan's ``transfer_id``."""
        nbytes = sum(chunk.nbytes for chunk in plan.chunks)
        with self._changed:
            self._refuse_if_closed()
            self._check(plan, nbytes)
            transfer = Transfer(plan, nbytes, time.monotonic() + plan.deadline_s)
            self._transfers[plan.transfer_id] = self._pending[plan.transfer_id] = transfer
            self._inflight += nbytes
            self._forget_old()
            asyncio.run_coroutine_threadsafe(self._carry(transfer), self._loop)
        return plan.transfer_id

    def poll(self, handles: Sequence[str]) -> list[TransferStatus]:
        """Return the state of each transfer now."""
        with self._changed:
            return [self._find(handle).status for handle in handles]

    def wait(self, handle: str, timeout_s: float) -> TransferStatus:
        """Block until the transfer ends or ``timeout_s`` passed."""
        with self._changed:
            transfer = self._find(handle)
            if not self._changed.wait_for(lambda: transfer.status is not PENDING, timeout_s):
                raise DeadlineExceeded(f"transfer {handle} is still pending after {timeout_s:g} s")
            return transfer.status

    def cancel(self, handle: str) -> None:
        """Ask a transfer to end."""
        with self._changed:
            transfer = self._find(handle)
            if transfer.status is PENDING and not transfer.cancelled and not self._closed:
                transfer.cancelled = True
                self._loop.call_soon_threadsafe(transfer.interrupt)

    def link_profile(self, peer: str) -> LinkProfile:
        """Return what transfers to ``peer`` have shown; null before the first."""
        with self._changed:
            return self._meter.profile(peer)

    def close(self) -> None:
        """End all transfers and leases, the listening socket and the thread."""
        with self._changed:
            first, self._closed = not self._closed, True
        self._leases.revoke_all()
        if first:
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(_JOIN_S)

    # What is refused at once.

    def _check(self, plan: TransportPlan, nbytes: int) -> None:
        if plan.transfer_id in self._transfers:
            raise InvalidRequest(f"transfer {plan.transfer_id!r} was submitted before", param="transfer_id")
        if max(len(plan.source), len(plan.destination_regions)) > _MOST_REGIONS:
            raise InvalidRequest(f"a plan has at most {_MOST_REGIONS} regions", param="destination_regions")
        self._refuse_unregistered(plan.source, "source")
        self._link.check_address(plan.destination)
        if self._inflight + nbytes > self._max_inflight:
            raise CapacityExceeded(f"{self._inflight} bytes are in flight, the limit is {self._max_inflight}")
        if len(self._pending) >= _MOST_PENDING:
            raise CapacityExceeded(f"{_MOST_PENDING} transfers are in flight, and no more are taken")

    def _refuse_unregistered(self, regions: Sequence[MemoryRegion], param: str) -> None:
        for part in regions:
            if not any(within(part, whole) for whole in self._regions.values()):
                raise InvalidRequest("a region is not in registered memory", param=param)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise BackendUnavailable(_CLOSED)

    def _find(self, handle: str) -> Transfer:
        if handle not in self._transfers:
            raise InvalidRequest(f"unknown transfer {handle!r}", param="handle")
        return self._transfers[handle]

    def _forget_old(self) -> None:
        for name in list(self._transfers)[: max(0, len(self._transfers) - _KEPT - len(self._pending))]:
            if name not in self._pending:
                del self._transfers[name]

    # The thread.

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        serving = asyncio.get_running_loop().create_task(self._receiver.serve())
        try:
            await self._stopping.wait()
        finally:
            mine = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not mine]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, serving, return_exceptions=True)
            self._link.close()
            for transfer in list(self._pending.values()):  # cancelled before their first step
                self._end(transfer, TransferStatus(state="failed", reason=_CLOSED), 0.0)

    async def _carry(self, transfer: Transfer) -> None:
        peer = transfer.plan.destination
        slot = self._slots.get(peer)
        if slot is None:
            slot = self._slots[peer] = asyncio.Semaphore(_CONNECTIONS_PER_PEER)
        began = time.monotonic()
        status = TransferStatus(state="failed", reason=_CLOSED, bytes_moved=transfer.sent_bytes)
        try:
            status = await self._sender.carry(transfer, slot)
        finally:
            self._end(transfer, status, time.monotonic() - began)

    def _end(self, transfer: Transfer, status: TransferStatus, took_s: float) -> None:
        with self._changed:
            transfer.status = status
            transfer.work = transfer.connection = None
            del self._pending[transfer.plan.transfer_id]
            self._inflight -= transfer.nbytes
            if status.state == "done":
                self._meter.add(transfer.plan.destination, transfer.nbytes, took_s, transfer.latency_s)
            self._changed.notify_all()
