"""The TCP and the shared-memory transport over real sockets; the conformance kit asks much more of them."""

from __future__ import annotations

import ctypes
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeviceUnavailable,
    InvalidRequest,
    Unsupported,
)
from sage_infer_contracts.membership import PROTOCOLS, missing_members
from sage_infer_contracts.memory import MemoryRegion
from sage_infer_contracts.transport import KVChunk, TransportPlan
from sage_infer_host.shm_transport import ShmTransport
from sage_infer_host.tcp_transport import TcpTransport, parse_address

Engine = TcpTransport | ShmTransport
NBYTES = 3 * 1024 * 1024 + 5
SECRET = "a secret of both"


class Memory:
    """Bytes of a caller."""

    def __init__(self, content: bytes = bytes(NBYTES)) -> None:
        self.buffer = ctypes.create_string_buffer(content, len(content))

    def region(self, offset: int = 0, nbytes: int | None = None) -> MemoryRegion:
        whole = MemoryRegion(device="cpu", address=ctypes.addressof(self.buffer), nbytes=len(self.buffer))
        return whole.slice(offset, nbytes or whole.nbytes - offset)


@pytest.fixture(params=[TcpTransport, ShmTransport], ids=["tcp", "shm"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def one(**options: object) -> Engine:
        made.append(request.param(**{"credential": SECRET, **options}))
        return made[-1]

    yield one
    for engine in made:
        engine.close()


def plan(
    source: MemoryRegion,
    target: MemoryRegion,
    to: str,
    name: str = "t",
    deadline_s: float = 20,
    generation: int = 1,
) -> TransportPlan:
    nbytes = source.nbytes
    chunk = KVChunk(
        request_id="r", layer_start=0, layer_end=1, block_ids=(0,), schema_fingerprint="f", nbytes=nbytes
    )
    cut = nbytes // 3
    return TransportPlan(
        transfer_id=name,
        chunks=(chunk,),
        source=(source,),
        destination=to,
        destination_regions=(target.slice(0, cut), target.slice(cut, nbytes - cut)),
        lease=f"lease of {name}",
        generation=generation,
        deadline_s=deadline_s,
    )


def pair(make: Callable[..., Engine], **options: object) -> tuple[Engine, Engine, Memory, Memory]:
    sender, receiver = make(), make(**options)
    source, target = Memory(random.Random(1).randbytes(NBYTES)), Memory()
    sender.register_memory(source.region())
    receiver.register_memory(target.region())
    return sender, receiver, source, target


def test_both_are_transport_engines(make: Callable[..., Engine]) -> None:
    engine = make()
    assert missing_members(engine, PROTOCOLS["TransportEngine"]) == []
    assert engine.capabilities == {"transport.remote"}


def test_bytes_arrive_once_under_a_lease_and_figures_are_measured(make: Callable[..., Engine]) -> None:
    sender, receiver, source, target = pair(make)
    assert sender.link_profile(receiver.address).bandwidth is None
    receiver.grant_lease("lease of t", 1, [target.region()], 20)
    sender.submit(plan(source.region(), target.region(), receiver.address))
    status = sender.wait("t", 20)
    assert (status.state, status.bytes_moved) == ("done", NBYTES)
    assert target.buffer.raw == source.buffer.raw
    profile = sender.link_profile(receiver.address)
    assert profile.bandwidth is not None
    assert profile.latency is not None
    again = plan(source.region(), target.region(), receiver.address, name="again")
    sender.submit(again.model_copy(update={"lease": "lease of t"}))
    assert "used" in str(sender.wait("again", 20).reason)


def test_a_wrong_credential_is_refused_and_nothing_is_written(make: Callable[..., Engine]) -> None:
    sender, receiver, source, target = pair(make, credential=SECRET + " ")
    receiver.grant_lease("lease of t", 1, [target.region()], 20)
    sender.submit(plan(source.region(), target.region(), receiver.address))
    status = sender.wait("t", 20)
    assert status.state == "failed"
    assert "credential" in str(status.reason)
    assert target.buffer.raw == bytes(NBYTES)


def test_no_engine_is_made_without_a_credential(make: Callable[..., Engine]) -> None:
    with pytest.raises(InvalidRequest, match="credential"):
        make(credential="")
    with pytest.raises(InvalidRequest, match="max_inflight_bytes"):
        make(max_inflight_bytes=0)


def test_memory_in_use_stays_registered(make: Callable[..., Engine]) -> None:
    receiver, target = make(), Memory()
    handle = receiver.register_memory(target.region())
    receiver.grant_lease("l", 1, [target.region(5, 10)], 20)
    with pytest.raises(InvalidRequest, match="lease"):
        receiver.deregister_memory(handle)
    receiver.revoke_lease("l")
    receiver.deregister_memory(handle)
    with pytest.raises(InvalidRequest, match="registered"):
        receiver.grant_lease("l", 2, [target.region()], 20)
    with pytest.raises(Unsupported):
        receiver.register_memory(MemoryRegion(device="cuda:0", address=0, nbytes=1))


def test_a_receiver_that_says_nothing_costs_no_more_than_the_deadline(make: Callable[..., Engine]) -> None:
    sender, source = make(max_inflight_bytes=NBYTES), Memory()
    sender.register_memory(source.region())
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = "{}:{}".format(*silent.getsockname())
        if isinstance(sender, ShmTransport):
            address = "@nobody listens here"
        sender.submit(plan(source.region(), source.region(), address, deadline_s=0.5))
        with pytest.raises((InvalidRequest, CapacityExceeded)):
            sender.submit(plan(source.region(), source.region(), address, name="t"))
        assert sender.wait("t", 20).state == "failed"


def test_too_much_in_flight_is_refused(make: Callable[..., Engine]) -> None:
    engine, source = make(max_inflight_bytes=NBYTES - 1), Memory()
    engine.register_memory(source.region())
    with pytest.raises(CapacityExceeded):
        engine.submit(plan(source.region(), source.region(), engine.address))


def test_a_closed_engine_has_no_thread_and_grants_nothing() -> None:
    receiver, target = TcpTransport(credential=SECRET), Memory()
    receiver.register_memory(target.region())
    receiver.grant_lease("l", 1, [target.region()], 20)
    receiver.revoke_lease("l")
    threads = threading.active_count()
    receiver.close()
    assert threading.active_count() == threads - 1
    with pytest.raises(BackendUnavailable):
        receiver.grant_lease("l", 2, [target.region()], 20)


def test_transfers_under_way_fail_when_their_engine_is_closed(make: Callable[..., Engine]) -> None:
    sender, receiver, source, target = pair(make)
    for number in range(20):
        part = target.region(number * 1000, 900)
        receiver.grant_lease(f"lease of {number}", 1, [part], 20)
        sender.submit(plan(source.region(number, 900), part, receiver.address, name=str(number)))
    sender.close()
    states = {status.state for status in sender.poll([str(number) for number in range(20)])}
    assert states <= {"done", "failed"}
    sender.close()


def test_garbage_does_not_keep_others_out(make: Callable[..., Engine]) -> None:
    sender, receiver, source, target = pair(make)
    family = socket.AF_INET if isinstance(receiver, TcpTransport) else socket.AF_UNIX
    place = (
        parse_address(receiver.address, "x")[1] if family == socket.AF_INET else "\0" + receiver.address[1:]
    )
    strangers = [socket.socket(family) for _ in range(5)]
    for number, stranger in enumerate(strangers):
        stranger.connect(place)
        stranger.sendall(random.Random(number).randbytes(number * 40))
    receiver.grant_lease("lease of t", 1, [target.region()], 20)
    sender.submit(plan(source.region(), target.region(), receiver.address))
    assert sender.wait("t", 20).state == "done"
    for stranger in strangers:
        stranger.close()


@pytest.mark.parametrize("address", ["", "host", "example.org:80", "127.0.0.1:x", "127.0.0.1:70000"])
def test_what_is_no_address_is_refused_at_once(address: str) -> None:
    engine, source = TcpTransport(credential=SECRET), Memory()
    engine.register_memory(source.region())
    with pytest.raises(InvalidRequest):
        engine.submit(plan(source.region(), source.region(), address))
    engine.close()


def test_an_address_that_peers_cannot_use_is_not_advertised() -> None:
    with pytest.raises(InvalidRequest, match="advertise"):
        TcpTransport(credential=SECRET, listen="0.0.0.0:0")
    engine = TcpTransport(credential=SECRET, listen="0.0.0.0:0", advertise="127.0.0.1")
    assert engine.address.startswith("127.0.0.1:")
    with pytest.raises(DeviceUnavailable, match="cannot listen"):
        TcpTransport(credential=SECRET, listen=engine.address)
    engine.close()


def test_a_socket_with_a_path_is_private_and_goes_with_its_engine(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    engine = ShmTransport(credential=SECRET, listen=str(path))
    assert path.stat().st_mode & 0o077 == 0
    engine.close()
    assert not path.exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads descriptors as Linux shows them")
def test_shared_memory_is_gone_after_a_transfer() -> None:
    engine, source, target = ShmTransport(credential=SECRET), Memory(os.urandom(NBYTES)), Memory()
    for memory in (source, target):
        engine.register_memory(memory.region())
    engine.grant_lease("lease of t", 1, [target.region()], 20)
    engine.submit(plan(source.region(), target.region(), engine.address))
    assert engine.wait("t", 20).state == "done"
    until = time.monotonic() + 5
    while any("/dev/shm" in os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()):
        assert time.monotonic() < until, "a segment is still open"
    engine.close()
