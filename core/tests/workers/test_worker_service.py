"""The worker's side of the connection in this process: odd messages, abandoned calls, and its own end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from sage_infer.backends import plan_backend
from sage_infer.plugins import Catalog, Registry
from sage_infer.workers.frames import frame, pack, read_frame
from sage_infer.workers.messages import Message
from sage_infer.workers.service import Service
from sage_infer.workers.worker_spec import WorkerSpec
from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.kinds import PluginKind

PARAMS = {"temperature": 0, "max_tokens": 4}


class Host:
    """A hand-driven host."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: Service) -> None:
        self.reader, self.writer, self.service = reader, writer, service

    def send(self, *message: object) -> None:
        self.writer.write(frame(pack(list(message))))

    async def next(self, kind: Message) -> Any:
        while True:
            async with asyncio.timeout(10):
                message = await read_frame(self.reader)
            if message[0] == kind:
                return message

    async def call(self, call_id: int, method: str, *args: object) -> Any:
        self.send(int(Message.CALL), call_id, method, list(args))
        while True:
            async with asyncio.timeout(10):
                message = await read_frame(self.reader)
            if message[0] in (Message.RESULT, Message.ERROR) and message[1] == call_id:
                return message


@asynccontextmanager
async def hosted() -> AsyncIterator[Host]:
    pairs = [socket.socketpair(), socket.socketpair()]
    ours, line = [await asyncio.open_connection(sock=pair[0]) for pair in pairs]
    theirs, their_line = [await asyncio.open_connection(sock=pair[1]) for pair in pairs]
    service = Service(*theirs)
    running = asyncio.create_task(service.run(*their_line))
    try:
        yield Host(*ours, service)
    finally:
        ours[1].close()
        line[1].close()
        async with asyncio.timeout(10):
            await running


def spec(kind: PluginKind = PluginKind.BACKEND, **options: object) -> dict[str, Any]:
    config = BackendConfig(model=ModelLocation(model_id="polly", path="/x"), options=options)
    plan = plan_backend("parrot", config, registry=Registry(Catalog.scan()), kind=kind)  # type: ignore[arg-type]
    return WorkerSpec(plan=plan).model_dump(mode="json")


async def test_a_worker_without_a_backend_refuses_calls(testbed: object) -> None:
    async with hosted() as host:
        assert (await host.call(1, "stats"))[2]["code"] == "backend_unavailable"
        assert (await host.call(2, "open", {"nonsense": 1}))[0] == Message.ERROR


async def test_unknown_methods_are_refused_by_name(testbed: object) -> None:
    async with hosted() as host:
        await host.call(1, "open", spec())
        reply = await host.call(2, "fly")
        assert (reply[2]["code"], "fly" in reply[2]["message"]) == ("invalid_request", True)


async def test_all_deltas_of_one_tick_share_a_frame(testbed: object) -> None:
    async with hosted() as host:
        await host.call(1, "open", spec())
        await host.call(2, "start")
        reply = await host.call(3, "generate", ["ab", "cd", "ef"], PARAMS, "r")
        assert len(reply[2]) == 3
        rows = (await host.next(Message.DELTAS))[1]
        assert [row[0] for row in rows] == [0, 1, 2]


async def test_an_abandoned_call_takes_its_streams_with_it(testbed: object) -> None:
    async with hosted() as host:
        await host.call(1, "open", spec(step_s=0.01))
        await host.call(2, "start")
        await host.call(3, "generate", ["ab"], {"temperature": 0, "max_tokens": 4000}, "r")
        host.send(int(Message.ABANDON), 3)
        host.send(int(Message.CANCEL_STREAM), 99)
        rows = (await host.next(Message.DELTAS))[1]
        while len(rows[-1]) == 3:
            rows = (await host.next(Message.DELTAS))[1]
        assert rows[-1][3] == "cancelled"


async def test_a_call_can_be_abandoned_before_it_ends(testbed: object) -> None:
    async with hosted() as host:
        await host.call(1, "open", spec(hang_at_start=True))
        host.send(int(Message.CALL), 2, "start", [])
        host.send(int(Message.ABANDON), 2)
        assert (await host.call(3, "health"))[2]["state"] == "created"


async def test_embedding_calls_are_served_too(testbed: object) -> None:
    async with hosted() as host:
        await host.call(1, "open", spec(PluginKind.EMBEDDING))
        assert (await host.call(2, "start"))[2][2:] == [8, 64]
        assert (await host.call(3, "count_tokens", ["abc"]))[2] == [3]
        assert (await host.call(4, "embed_batch", ["a", "b"], 1))[2][1] == [8, 8]
        assert (await host.call(5, "generate", ["a"], PARAMS, None))[2]["code"] == "invalid_request"
        assert (await host.call(6, "stats"))[2]["computed_tokens"] == 2
        assert (await host.call(7, "close"))[0] == Message.RESULT


async def test_a_bad_frame_ends_the_worker(testbed: object) -> None:
    async with hosted() as host:
        host.writer.write(frame(b"\xc1"))
        async with asyncio.timeout(10):
            assert await host.reader.read() == b""


async def test_stop_ends_the_worker(testbed: object) -> None:
    async with hosted() as host:
        await host.call(1, "open", spec())
        host.service.stop()
        async with asyncio.timeout(10):
            assert await host.reader.read() == b""


_HOST = """
import asyncio, sys
from sage_infer.backends import open_backend
from sage_infer_contracts.backend import BackendConfig, ModelLocation
async def main():
    config = BackendConfig(model=ModelLocation(model_id="polly", path="/x"))
    backend = await open_backend("parrot", config)
    print(backend.pid, flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_a_worker_ends_when_its_host_is_killed(testbed: object) -> None:
    host = subprocess.Popen([sys.executable, "-c", _HOST], stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    with host.stdout:
        worker = psutil.Process(int(host.stdout.readline()))
        os.kill(host.pid, signal.SIGKILL)
        host.wait(10)
    psutil.wait_procs([worker], timeout=20)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_an_unstartable_worker_leaves_no_descriptor(testbed: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from sage_infer.workers import open_worker

    monkeypatch.setattr(sys, "executable", "/no/such/python")
    config = BackendConfig(model=ModelLocation(model_id="polly", path="/x"))
    registry = Registry(Catalog.scan())
    plan = plan_backend("parrot", config, registry=registry)

    async def attempt() -> int:
        before = psutil.Process().num_fds()
        with pytest.raises(OSError, match="No such file"):
            await open_worker(plan, registry)
        return psutil.Process().num_fds() - before

    assert asyncio.run(attempt()) == 0
