"""A backend may fail while its worker lives, as an engine in a process of its own does: the worker then ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from sage_infer.backends import open_backend, open_embedding
from sage_infer.control_plane import ControlPlaneManager, GenerateRequest, RequestStream
from sage_infer.plugins import Catalog, Registry
from sage_infer.workers import ProcessBackend, ProcessEmbedding, health_watch
from sage_infer.workers.settings import FAILED_STATUS
from sage_infer.workers.supervisor import RestartPolicy, Supervisor
from sage_infer_contracts.backend import BackendConfig, BackendHealth, ModelLocation
from sage_infer_contracts.errors import BackendUnavailable
from sage_infer_contracts.sampling import SamplingParams

CAT = "a cat"
FAILED = "the backend of polly failed: a cat ate the engine"
GREEDY = SamplingParams(temperature=0, max_tokens=3)
FOREVER = SamplingParams(temperature=0, max_tokens=4000)
DEADLINE_S = 30.0
Open = Callable[..., Awaitable[ProcessBackend]]


def config(**options: object) -> BackendConfig:
    return BackendConfig(model=ModelLocation(model_id="polly", path="/x"), options=options)


@pytest.fixture
async def open_parrot(testbed: Path) -> AsyncIterator[Open]:
    opened: list[ProcessBackend] = []

    async def opener(**options: object) -> ProcessBackend:
        backend = await open_backend("parrot", config(**options), registry=Registry(Catalog.scan()))
        assert isinstance(backend, ProcessBackend)
        opened.append(backend)
        return backend

    yield opener
    for backend in opened:
        await backend.close()


@asynccontextmanager
async def supervised(
    backend: ProcessBackend | ProcessEmbedding, hook: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[asyncio.Event]:
    """Yield the event that is set as soon as the worker has been restarted."""
    back = asyncio.Event()

    async def on_restarted() -> None:
        if hook is not None:
            await hook()
        back.set()

    supervisor = Supervisor(backend, RestartPolicy(backoff_s=0.0), on_restarted)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield back
    finally:
        await supervisor.close()


async def down(backend: ProcessBackend | ProcessEmbedding) -> str:
    async with asyncio.timeout(DEADLINE_S):
        return await backend.wait_down()


def hurry(testbed: Path) -> None:
    """Give the workers to come shorter times: sitecustomize is read before their own code."""
    (testbed / "sitecustomize.py").write_text(
        "from sage_infer.workers import settings\nsettings.FAILED_CLOSE_TIMEOUT_S = 0.1\n"
        "from sage_infer.workers import health_watch\nhealth_watch.CHECK_INTERVAL_S = 0.05\n"
    )


def returncode(backend: ProcessBackend) -> Callable[[], int | None]:
    """Return a question that can still be asked when the backend is closed."""
    popen = backend._ready_worker().process._popen
    return lambda: popen.returncode


async def text_of(stream: RequestStream) -> str:
    text = ""
    async with asyncio.timeout(DEADLINE_S):
        while batch := await stream.next_batch():
            text += "".join(delta.text for _, delta in batch)
    return text


async def test_a_failed_backend_takes_its_worker_down_and_is_quoted(open_parrot: Open) -> None:
    backend = await open_parrot(step_s=0.01)
    status = returncode(backend)
    (running,) = await backend.generate(["abc"], FOREVER)
    await running.__anext__()
    await backend.generate([CAT], FOREVER)
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(BackendUnavailable) as caught:
            await running.collect()
    assert str(caught.value) == FAILED
    assert (await backend.health()).state == "failed"  # at once, whatever closing takes
    reason = await down(backend)
    assert reason.startswith(f"{FAILED}; the worker of polly (pid ")
    assert f"exited with status {FAILED_STATUS}; it last said:\n" in reason
    assert "the backend failed: a cat ate the engine" in backend.last_output()
    assert status() == FAILED_STATUS
    assert (await backend.health()).reason == reason
    with pytest.raises(BackendUnavailable, match=FAILED):
        await backend.generate(["abc"], GREEDY)


async def test_errors_that_the_backend_gave_its_streams_arrive_before_the_end(open_parrot: Open) -> None:
    backend = await open_parrot(step_s=0.01, ends_streams=True)
    (stream,) = await backend.generate([CAT], FOREVER)
    async with asyncio.timeout(DEADLINE_S):
        with pytest.raises(BackendUnavailable, match=r"^the cat has it$"):
            await stream.collect()
    assert (await down(backend)).startswith(FAILED)


@pytest.mark.parametrize(
    ("option", "ending"),
    [("broken_close", "the cage is stuck"), ("hang_close", "TimeoutError")],
)
async def test_a_failed_backend_that_does_not_close_is_left_behind(
    open_parrot: Open, testbed: Path, option: str, ending: str
) -> None:
    hurry(testbed)
    backend = await open_parrot(**{option: True})
    await backend.generate([CAT], GREEDY)
    reason = await down(backend)
    assert reason.startswith(FAILED)
    assert f"exited with status {FAILED_STATUS}" in reason
    assert ending in reason


async def test_the_control_plane_is_unhealthy_until_the_restart_and_then_serves(open_parrot: Open) -> None:
    backend = await open_parrot(step_s=0.001)
    manager = ControlPlaneManager()
    instance = await manager.register_backend("polly", backend)
    old = backend.pid
    stream = await manager.submit(GenerateRequest(model_id="polly", prompts=[CAT], params=FOREVER))
    with pytest.raises(BackendUnavailable, match=FAILED):
        await text_of(stream)
    await down(backend)
    assert not (await manager.check()).healthy

    async def back_in_service() -> None:
        await manager.replace_backend("polly", instance, backend)

    async with supervised(backend, back_in_service) as back:
        await back.wait()
        assert (await manager.check()).healthy
        again = await manager.submit(GenerateRequest(model_id="polly", prompts=["abc"], params=GREEDY))
        assert await text_of(again) == "abc"
    assert backend.pid != old
    await manager.close()


async def test_a_failed_embedding_backend_is_restarted_too(testbed: Path) -> None:
    embedder = await open_embedding("parrot", config(), registry=Registry(Catalog.scan()))
    assert isinstance(embedder, ProcessEmbedding)
    vectors = await embedder.embed(["a"])
    async with supervised(embedder) as back:
        await embedder.embed([CAT])
        assert (await down(embedder)).startswith(FAILED)
        await back.wait()
        assert await embedder.embed(["a"]) == vectors
    await embedder.close()


async def test_a_health_check_that_keeps_raising_is_a_failure(open_parrot: Open, testbed: Path) -> None:
    hurry(testbed)
    backend = await open_parrot(raise_health=True)
    reason = await down(backend)
    assert reason.startswith(
        "the backend of polly failed: its health check keeps failing: LookupError: no pulse"
    )


async def test_a_reason_that_cannot_be_sent_ends_the_worker_all_the_same(
    open_parrot: Open, testbed: Path
) -> None:
    hurry(testbed)
    backend = await open_parrot(raise_health="garbled")
    reason = await down(backend)
    assert f"exited with status {FAILED_STATUS}; it last said:\n" in reason
    assert "the host could not be told why" in reason


async def test_a_deliberate_close_is_no_failure(open_parrot: Open) -> None:
    # It reports "failed" while it closes, for longer than two checks are apart.
    backend = await open_parrot(fails_in_close=2.5 * health_watch.CHECK_INTERVAL_S)
    status = returncode(backend)
    worker = backend._ready_worker()
    await backend.close()
    assert status() == 0
    assert worker.down.result() == "the backend of polly was closed"
    assert worker.connection.failure is None
    assert "failed" not in worker.process.last_output()
    assert not psutil.Process().children(recursive=True)


async def test_a_normal_close_causes_no_restart(open_parrot: Open) -> None:
    backend = await open_parrot()
    restarts: list[None] = []

    async def on_restarted() -> None:
        restarts.append(None)

    supervisor = Supervisor(backend, RestartPolicy(backoff_s=0.0), on_restarted)
    watching = asyncio.create_task(backend.wait_down())
    await backend.close()
    assert await watching == "the backend of polly was closed"
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.wait((supervisor._task,))  # even a supervisor that was not closed first gives up
    await supervisor.close()
    assert restarts == []
    assert (await backend.health()).state == "closed"
    assert not psutil.Process().children(recursive=True)


class Patient:
    """Answers what the test wrote down; an exception is raised, None is no answer."""

    def __init__(self, answers: Sequence[BackendHealth | Exception | None]) -> None:
        self.answers = list(answers)

    async def health(self) -> BackendHealth:
        answer = self.answers.pop(0)
        if answer is None:
            await asyncio.Event().wait()
        if isinstance(answer, Exception):
            raise answer
        assert answer is not None
        return answer


READY = BackendHealth(state="ready")
SICK = LookupError("no pulse")


@pytest.mark.parametrize(
    ("answers", "reason", "warnings"),
    [
        ([READY, BackendHealth(state="failed", reason="a cat")], "a cat", 0),
        ([BackendHealth(state="failed")], "it gave no reason", 0),
        ([SICK, SICK, READY, SICK, SICK, BackendHealth(state="failed", reason="a cat")], "a cat", 2),
        ([SICK, SICK, SICK], "its health check keeps failing: LookupError: no pulse", 1),
        ([None, None, None, None, BackendHealth(state="failed", reason="a cat")], "a cat", 1),
        ([BackendHealth(state="closed"), BackendHealth(state="failed", reason="a cat")], "a cat", 0),
    ],
)
async def test_what_counts_as_failed(
    answers: list[BackendHealth | Exception | None],
    reason: str,
    warnings: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(health_watch, "CHECK_INTERVAL_S", 0)
    monkeypatch.setattr(health_watch, "CHECK_DEADLINE_S", 0.01)
    patient = Patient(answers)
    with caplog.at_level(logging.WARNING):
        async with asyncio.timeout(DEADLINE_S):
            assert await health_watch.until_failed(patient) == reason
    assert patient.answers == []
    assert len(caplog.records) == warnings
