"""Reservations in real processes: no device is given twice, and what a dead process held is free again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sage_infer.hal import AgedDetection, Detection, DetectionCache, GPUManager, Hold, ReservationBook
from sage_infer.hal.proc import ProcessIdentity, this_process
from sage_infer_contracts.devices import AcceleratorDescriptor, DeviceIds, HardwareProfile
from sage_infer_contracts.errors import CapacityExceeded, DeadlineExceeded, DeviceUnavailable, SageInferError

GIB = 2**30
HOLDER = """
import sys, time
from pathlib import Path
from sage_infer.hal import ReservationBook
from sage_infer_contracts.errors import CapacityExceeded
book = ReservationBook(Path(sys.argv[1]))
got = 0
for _ in range(int(sys.argv[3])):
    try:
        book.add("U0", int(sys.argv[2]) or None, total_bytes=100, label="child")
        got += 1
    except CapacityExceeded:
        pass
print(got, flush=True)
sys.stdin.read()
"""


def holder(book: Path, nbytes: int, times: int = 1) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(book), str(nbytes), str(times)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def answer(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sub" / "reservations.json"


def test_a_dead_processes_reservation_stays(path: Path) -> None:
    child = holder(path, 60)
    assert answer(child) == 1
    book = ReservationBook(path)
    with pytest.raises(CapacityExceeded, match=rf"process {child.pid} \(child\) holds 60 bytes"):
        book.add("U0", 50, total_bytes=100)
    with pytest.raises(CapacityExceeded, match="is reserved"):
        book.add("U0", None, total_bytes=100)
    book.add("U1", None, total_bytes=100)
    child.kill()
    child.wait()
    assert [entry.device for entry in book.entries()] == ["U1"]
    book.add("U0", 100, total_bytes=100)


def test_a_zombie_keeps_its_reservation(path: Path) -> None:
    child = holder(path, 60)
    answer(child)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended and not reaped
    assert ReservationBook(path).entries() == ()
    child.wait()


def test_processes_reserve_more_than_there_is(path: Path) -> None:
    children = [holder(path, 7, times=10) for _ in range(3)]
    assert sum(map(answer, children)) == 14
    assert sum(entry.nbytes or 0 for entry in ReservationBook(path).entries()) == 98
    for child in children:
        child.kill()
        child.wait()


def test_threads_reserve_a_device_twice(path: Path) -> None:
    book = ReservationBook(path)
    won: list[str] = []

    def race() -> None:
        with contextlib.suppress(CapacityExceeded):
            won.append(book.add("U0", None, total_bytes=None).id)

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.id for entry in book.entries()] == won
    assert len(won) == 1


def test_a_reused_process_id_or_one_of_before_a_reboot_holds_a_device() -> None:
    me = this_process()
    assert not me.is_gone()
    if me.start_ticks is not None:
        assert me.model_copy(update={"start_ticks": me.start_ticks - 1}).is_gone()
        assert me.model_copy(update={"boot": "another"}).is_gone()
        assert not me.model_copy(
            update={"start_ticks": 1, "namespace": "pid:[1]"}
        ).is_gone()  # nobody can tell
    assert ProcessIdentity(pid=2**22 + 1, namespace=me.namespace).is_gone()
    assert not ProcessIdentity(pid=1, namespace=me.namespace).is_gone()


def test_a_held_lock_is_waited_for_past_the_deadline(path: Path) -> None:
    import fcntl

    path.parent.mkdir(parents=True)
    with path.with_name(path.name + ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            ReservationBook(path).entries(timeout_s=0.2)
        assert time.monotonic() - began < 5


def test_a_garbled_book_is_taken_for_an_empty_one(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("{]")
    with pytest.raises(SageInferError, match="no book of reservations"):
        ReservationBook(path).entries()


def test_a_forked_child_gives_back_its_parents_reservation(path: Path) -> None:
    book = ReservationBook(path)
    hold = Hold(book, book.add("U0", 1, total_bytes=2))
    child = os.fork()
    if child == 0:
        hold.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(book.entries()) == 1
    hold.close()
    hold.close()
    assert book.entries() == ()


class Still(DetectionCache):
    """Two cards that never change; counts how often somebody looks."""

    def __init__(self, *cards: AcceleratorDescriptor) -> None:
        self.looks = 0
        self._cards = cards

    def get(self, **_: object) -> AgedDetection:
        self.looks += 1
        return AgedDetection(Detection(profile=HardwareProfile(accelerators=self._cards)), 1.5)


def card(number: int, **more: object) -> AcceleratorDescriptor:
    facts = {
        "hardware_backend": "acme",
        "name": "X1",
        "ids": DeviceIds(uuid=f"U{number}", bdf=f"0000:0{number}:00.0"),
        "memory_total_bytes": 64 * GIB,
        "memory_used_bytes": 60 * GIB,
        "utilisation_percent": 90.0,
    }
    return AcceleratorDescriptor.model_validate({**facts, **more})


def manager(path: Path, *cards: AcceleratorDescriptor) -> GPUManager:
    return GPUManager(book=path, cache=Still(*cards))


def test_a_reservation_is_not_seen(path: Path) -> None:
    gpus = manager(path, card(0), card(1, memory_used_bytes=None, memory_total_bytes=None))
    with gpus.reserve("0000:00:00.0", 2 * GIB, label="kv"), gpus.reserve("U1"):
        first, second = gpus.status().devices
        assert (first.device, first.reserved_bytes, first.unreserved_bytes, first.free_bytes) == (
            "U0", 2 * GIB, 62 * GIB, 4 * GIB,
        )  # fmt: skip
        assert [entry.label for entry in first.reservations] == ["kv"]
        assert (second.reserved_bytes, second.unreserved_bytes, second.free_bytes) == (None, None, None)
        assert gpus.status().age_s == 1.5
    assert gpus.reservations() == ()


def test_memory_in_use_is_reserved(path: Path) -> None:
    gpus = manager(path, card(0))
    with pytest.raises(CapacityExceeded, match="bytes free"):
        gpus.reserve("U0", 5 * GIB)
    gpus.reserve("U0", 5 * GIB, require_free=False).close()


def test_a_device_that_is_not_here_or_failed_is_reserved(path: Path) -> None:
    gpus = manager(path, card(0), card(1, health="failed", health_reason="lost"))
    with pytest.raises(DeviceUnavailable, match="there are U0, U1"):
        gpus.reserve("U7")
    with pytest.raises(DeviceUnavailable, match="has failed: lost"):
        gpus.reserve("U1")


def test_cards_with_one_uuid_or_without_names_share_a_reservation(path: Path) -> None:
    twins = [card(number, ids=DeviceIds(uuid="GPU-0", bdf=f"0000:0{number}:00.0")) for number in range(2)]
    bare = [card(0, ids=DeviceIds()), card(0, ids=DeviceIds())]
    names = [one.device for one in manager(path, *twins, *bare).status().devices]
    assert names == ["0000:00:00.0", "0000:01:00.0", "acme:2", "acme:3"]


def test_the_status_cannot_be_read_as_json(path: Path) -> None:
    status = manager(path, card(0)).status()
    assert json.loads(status.model_dump_json())["devices"][0]["utilisation_percent"] == 90.0
