"""The transport ``tcp``: KV between machines that trust the network between them, over plain sockets."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest
from sage_infer_contracts.memory import MemoryRegion

from .transport.engine import StreamTransport
from .transport.link import Guard, SocketAddress, steps
from .transport.wire import Connection

_BACKLOG = 128
_CHECKSUM_BYTES = 4


class TcpTransport(StreamTransport):
    """Addresses are ``host:port``, the host a numeric IPv4 address or an IPv6 address in brackets.

    ``listen``: where to wait for peers, port 0 for any that is free; by default this machine only. ``advertise``: the
    host that peers are told where ``listen`` is a wildcard.
    """

    def __init__(
        self,
        max_inflight_bytes: int = 256 * 1024 * 1024,
        credential: str = "",
        listen: str | None = None,
        advertise: str | None = None,
    ) -> None:
        super().__init__(TcpLink(listen or "127.0.0.1:0", advertise), max_inflight_bytes, credential)


class TcpLink:
    """Bytes go through the connection, followed by their CRC-32."""

    kind = "tcp"

    def __init__(self, listen: str, advertise: str | None) -> None:
        self._family, self._place = parse_address(listen, "listen")
        self._advertise = advertise
        if advertise is None and ip_address(self._place[0]).is_unspecified:
            raise InvalidRequest(
                f"peers cannot reach {listen!r}; tell them a host by advertise", param="advertise"
            )

    def listen(self) -> tuple[socket.socket, str]:
        """Listen at the place that was asked for."""
        try:
            listening = socket.create_server(self._place, family=self._family, backlog=_BACKLOG)
        except OSError as error:
            raise DeviceUnavailable(f"cannot listen at {self._place[0]}:{self._place[1]}: {error}") from error
        host, port = listening.getsockname()[:2]
        host = self._advertise or (f"[{host}]" if self._family == socket.AF_INET6 else host)
        return listening, f"{host}:{port}"

    def check_address(self, address: str) -> None:
        """Refuse what is not ``host:port``."""
        parse_address(address, "destination")

    def open(self, address: str) -> tuple[socket.socket, SocketAddress]:
        """Return a socket of the address's family."""
        family, place = parse_address(address, "destination")
        unconnected = socket.socket(family, socket.SOCK_STREAM)
        unconnected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return unconnected, place

    def check_peer(self, connected: socket.socket) -> None:
        """Nothing is known of a peer but its credential."""
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def send(
        self, connection: Connection, regions: Sequence[MemoryRegion], count: Callable[[int], None]
    ) -> None:
        """Send from where the bytes lie."""
        checksum = 0
        for step in steps(regions):
            checksum = zlib.crc32(step, checksum)
            await connection.send(step)
            count(len(step))
        await connection.send(checksum.to_bytes(_CHECKSUM_BYTES, "big"))

    async def receive(self, connection: Connection, regions: Sequence[MemoryRegion], guard: Guard) -> bool:
        """Receive to where the bytes belong."""
        checksum = 0
        for step in steps(regions):
            left = step
            while left:
                await connection.readable()
                with guard():
                    nbytes = _receive_now(connection.socket, left)
                checksum = zlib.crc32(left[:nbytes], checksum)
                left = left[nbytes:]
        return int.from_bytes(await connection.receive(_CHECKSUM_BYTES), "big") == checksum

    def close(self) -> None:
        """Leave nothing: the socket has no name."""


def _receive_now(connected: socket.socket, into: memoryview) -> int:
    try:
        nbytes = connected.recv_into(into)
    except BlockingIOError:
        return 0
    if not nbytes:
        raise EOFError("the peer closed the connection")
    return nbytes


def parse_address(address: str, param: str) -> tuple[socket.AddressFamily, tuple[str, int]]:
    """Split ``host:port``; names are refused, because looking them up can take longer than any deadline."""
    host, _, port = address.rpartition(":")
    try:
        parsed = ip_address(host.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError as error:
        raise InvalidRequest(f"{address!r} is not host:port with a numeric host", param=param) from error
    if not 0 <= number < 2**16:
        raise InvalidRequest(f"{address!r} has no valid port", param=param)
    return (socket.AF_INET6 if parsed.version == 6 else socket.AF_INET), (str(parsed), number)
