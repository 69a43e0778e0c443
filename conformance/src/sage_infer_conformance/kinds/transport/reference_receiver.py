"""The receiving side of the reference: leases, and the connections under which they are used."""

from __future__ import annotations

import contextlib
import ctypes
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Sequence

import attrs

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.memory import MemoryRegion

from .reference_wire import Channel, Message, Refused, admit

STEP_BYTES = 256 * 1024
_HANDSHAKE_S = 5.0
_JOIN_S = 5.0


@attrs.define(slots=True, eq=False)
class Lease:
    """What one transfer may write, and until when."""

    name: str
    generation: int
    regions: tuple[MemoryRegion, ...]
    ends_at: float
    taken: bool = False
    revoked: bool = False

    @property
    def ended(self) -> bool:
        """Whether nothing may be written any more."""
        return self.revoked or time.monotonic() >= self.ends_at


class Receiver:
    """Listens, and lets those in who have the credential and a lease. Every write is under ``lock``."""

    def __init__(self, credential: str, listen: str | None) -> None:
        self.credential = credential
        self.lock = threading.RLock()
        self.leases: dict[str, Lease] = {}
        self._threads: set[threading.Thread] = set()
        self._channels: set[Channel] = set()
        self._closed = False
        host, _, port = (listen or "127.0.0.1:0").rpartition(":")
        self._socket = socket.create_server((host, int(port)), backlog=64)
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._start(self._accept)

    def grant(self, lease: Lease) -> None:
        """Take note of a lease; it ends the one before it."""
        with self.lock:
            newest = self.leases.get(lease.name)
            if newest is not None and lease.generation <= newest.generation:
                raise InvalidRequest(
                    f"lease {lease.name!r} was granted at {newest.generation}", param="generation"
                )
            self.revoke(lease.name)
            self.leases[lease.name] = lease

    def revoke(self, name: str) -> None:
        """End a lease."""
        with self.lock:
            if name in self.leases:
                self.leases[name].revoked = True

    def uses(self, region: MemoryRegion) -> bool:
        """Say whether a lease is on memory of ``region``."""
        with self.lock:
            live = [lease for lease in self.leases.values() if not lease.ended]
            return any(is_within(part, region) for lease in live for part in lease.regions)

    def close(self) -> None:
        """End every lease, connection and thread."""
        with self.lock:
            self._closed = True
            for name in self.leases:
                self.revoke(name)
            for channel in self._channels:
                channel.sever()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self.lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(_JOIN_S)

    # One thread waits for connections, and each connection has its own.

    def _start(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="reference-receiver", daemon=True)  # type: ignore[arg-type]
        with self.lock:  # a close joins what it finds, and only a thread that was started can be joined
            self._threads.add(thread)
            thread.start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        channel = Channel(connection, time.monotonic() + _HANDSHAKE_S)
        with self.lock:
            self._channels.add(channel)
            if self._closed:
                channel.sever()
        try:
            self._converse(channel)
        except (Refused, EOFError, OSError, ValueError, KeyError, TypeError):
            pass  # whoever spoke is no peer, or is one that has gone: there is nobody to tell
        finally:
            with self.lock:
                self._channels.discard(channel)
                self._threads.discard(threading.current_thread())
            channel.close()

    def _converse(self, channel: Channel) -> None:
        self.admit(channel)
        header = channel.receive_message()
        channel.until = time.monotonic() + float(str(header["deadline_s"]))
        regions = [MemoryRegion.model_validate(one) for one in header["regions"]]  # type: ignore[attr-defined]
        try:
            lease = self.take(header, regions)
        except Refused as refusal:
            channel.send_message(refused=str(refusal))
            return
        try:
            channel.send_message(go=True)
            self.receive(channel, lease, regions)
        finally:
            with self.lock:
                lease.revoked = True
        channel.send_message(done=True)

    def admit(self, channel: Channel) -> None:
        """Check the credential."""
        admit(channel, self.credential)

    def take(self, header: Message, regions: Sequence[MemoryRegion]) -> Lease:
        """Use a lease up for one transfer; raises :class:`Refused`."""
        with self.lock:
            lease = self.leases.get(str(header["lease"]))
            if lease is None or lease.generation != header["generation"]:
                raise Refused("no such lease in this generation")
            if lease.taken or lease.ended:
                raise Refused("the lease was used or has ended")
            if not all(any(is_within(part, whole) for whole in lease.regions) for part in regions):
                raise Refused("the lease is on other memory")
            lease.taken = True
            return lease

    def receive(self, channel: Channel, lease: Lease, regions: Sequence[MemoryRegion]) -> None:
        """Write what comes, step by step, and compare the checksum."""
        checksum = 0
        try:
            for address, nbytes in steps(regions):
                data = channel.receive(nbytes)
                checksum = zlib.crc32(data, checksum)
                self.write(lease, address, data)
            sent = int.from_bytes(channel.receive(4), "big")
        except EOFError:
            channel.send_message(dropped=True)
            raise
        except Refused as refusal:
            channel.send_message(refused=str(refusal))
            raise
        if sent != checksum:
            channel.send_message(refused="the checksum is wrong")
            raise Refused("the checksum is wrong")

    def write(self, lease: Lease, address: int, data: bytes) -> None:
        """Put bytes where they belong, if that is still allowed."""
        with self.lock:
            if lease.ended:
                raise Refused("the lease has ended")
            ctypes.memmove(address, data, len(data))


def is_within(part: MemoryRegion, whole: MemoryRegion) -> bool:
    """Say whether ``part`` lies in ``whole``."""
    end = whole.address + whole.nbytes
    return part.device == whole.device and whole.address <= part.address and part.address + part.nbytes <= end


def overlaps(one: MemoryRegion, other: MemoryRegion) -> bool:
    """Say whether two regions share a byte."""
    return one.address < other.address + other.nbytes and other.address < one.address + one.nbytes


def steps(regions: Sequence[MemoryRegion]) -> Iterator[tuple[int, int]]:
    """Yield (address, bytes) that cover the regions in order, in small steps."""
    for region in regions:
        for offset in range(0, region.nbytes, STEP_BYTES):
            yield region.address + offset, min(STEP_BYTES, region.nbytes - offset)
