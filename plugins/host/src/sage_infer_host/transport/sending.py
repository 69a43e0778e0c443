"""The sending half of an engine: one transfer from connect to the receiver's last word."""

from __future__ import annotations

import asyncio
import time

import attrs

from sage_infer_contracts.transport import TransferStatus, TransportPlan

from .link import Link
from .wire import Connection, Refused, knock

PENDING = TransferStatus(state="pending")


@attrs.define(slots=True, eq=False)
class Transfer:
    """One transfer. ``status`` is guarded by the engine's lock, the rest belongs to its event loop."""

    plan: TransportPlan
    nbytes: int
    ends_at: float
    status: TransferStatus = PENDING
    cancelled: bool = False
    under_way: bool = False
    sent_bytes: int = 0
    latency_s: float | None = None
    connection: Connection | None = None
    work: asyncio.Task[TransferStatus] | None = None

    def count(self, nbytes: int) -> None:
        """Take note of bytes sent."""
        self.sent_bytes += nbytes

    def interrupt(self) -> None:
        """Stop sending; on the event loop."""
        if self.work is not None:
            self.work.cancel()


class Sender:
    """Carries transfers out on the engine's event loop."""

    def __init__(self, link: Link, credential: bytes) -> None:
        self._link = link
        self._credential = credential

    async def carry(self, transfer: Transfer, slot: asyncio.Semaphore) -> TransferStatus:
        """Return how the transfer ended; it does by its deadline. Cancelled when the engine closes."""
        try:
            async with asyncio.timeout(max(0.0, transfer.ends_at - time.monotonic())):
                return await self._until_cancelled(transfer, slot)
        except TimeoutError:
            return _failed(transfer, "the deadline passed")
        except (Refused, EOFError, OSError) as error:
            return _failed(transfer, str(error) or type(error).__name__)
        finally:
            if transfer.connection is not None:
                transfer.connection.close()

    async def _until_cancelled(self, transfer: Transfer, slot: asyncio.Semaphore) -> TransferStatus:
        transfer.work = asyncio.get_running_loop().create_task(self._deliver(transfer, slot))
        if transfer.cancelled:
            transfer.work.cancel()
        try:
            return await transfer.work
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling() or not transfer.cancelled:
                raise
            return await self._confirm(transfer)

    async def _deliver(self, transfer: Transfer, slot: asyncio.Semaphore) -> TransferStatus:
        async with slot:
            connection = await self._connect(transfer)
            await connection.send_message(**_header(transfer))
            answer = await connection.receive_message()
            if not answer.get("go"):
                return _verdict(transfer, answer)
            transfer.under_way = True
            await self._link.send(connection, transfer.plan.source, transfer.count)
            return _verdict(transfer, await connection.receive_message())

    async def _connect(self, transfer: Transfer) -> Connection:
        unconnected, place = self._link.open(transfer.plan.destination)
        connection = transfer.connection = Connection(unconnected)
        await asyncio.get_running_loop().sock_connect(unconnected, place)
        began = time.monotonic()
        await knock(connection, self._credential)
        transfer.latency_s = time.monotonic() - began
        return connection

    async def _confirm(self, transfer: Transfer) -> TransferStatus:
        """Have the receiver say that it writes no more; before it said ``go`` there is nothing to stop."""
        if not transfer.under_way or transfer.connection is None:
            return TransferStatus(state="cancelled", reason="cancelled")
        transfer.connection.end_sending()
        return _verdict(transfer, await transfer.connection.receive_message())


def _header(transfer: Transfer) -> dict[str, object]:
    plan = transfer.plan
    return {
        "lease": plan.lease,
        "generation": plan.generation,
        "deadline_s": max(0.0, transfer.ends_at - time.monotonic()),
        "regions": [(region.address, region.nbytes) for region in plan.destination_regions],
    }


def _verdict(transfer: Transfer, answer: dict[str, object]) -> TransferStatus:
    if answer.get("done"):
        return TransferStatus(state="done", bytes_moved=transfer.nbytes)
    if transfer.cancelled and answer.get("dropped"):
        return TransferStatus(state="cancelled", reason="cancelled", bytes_moved=transfer.sent_bytes)
    return _failed(transfer, f"the receiver refused: {answer.get('refused', 'no reason given')}")


def _failed(transfer: Transfer, reason: str) -> TransferStatus:
    return TransferStatus(
        state="failed", reason=reason, bytes_moved=min(transfer.sent_bytes, transfer.nbytes)
    )
