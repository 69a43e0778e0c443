"""Restarts: bounded, with a longer wait each time, and never of what was closed on purpose."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from sage_infer.backends import open_backend, open_embedding
from sage_infer.plugins import Catalog, Registry
from sage_infer.workers import ProcessBackend, ProcessEmbedding
from sage_infer.workers.supervisor import RestartPolicy, Supervisor
from sage_infer_contracts.backend import BackendConfig, ModelLocation

CONFIG = BackendConfig(model=ModelLocation(model_id="polly", path="/x"))


async def _parrot() -> ProcessBackend:
    backend = await open_backend("parrot", CONFIG, registry=Registry(Catalog.scan()))
    assert isinstance(backend, ProcessBackend)
    return backend


def _kill(backend: ProcessBackend | ProcessEmbedding) -> None:
    assert backend.pid is not None
    os.kill(backend.pid, signal.SIGKILL)


async def test_a_killed_worker_comes_back_with_a_new_process(testbed: Path) -> None:
    backend = await _parrot()
    back = asyncio.Event()

    async def on_restarted() -> None:
        back.set()

    supervisor = Supervisor(backend, RestartPolicy(backoff_s=0.0), on_restarted)
    old = backend.pid
    _kill(backend)
    async with asyncio.timeout(30):
        await back.wait()
    assert backend.pid != old
    assert (await backend.health()).state == "ready"
    await supervisor.close()
    await backend.close()


async def test_restarts_end_after_the_allowed_number(testbed: Path) -> None:
    backend = await _parrot()
    supervisor = Supervisor(backend, RestartPolicy(max_restarts=2, backoff_s=0.0), lambda: asyncio.sleep(0))
    (testbed / "parrot_engine.py").write_text("raise RuntimeError('moulting')")
    _kill(backend)
    async with asyncio.timeout(60):
        await asyncio.wait((supervisor._task,))
    health = await backend.health()
    assert health.state == "failed"
    assert "moulting" in (health.reason or "")
    await supervisor.close()
    await backend.close()


async def test_embeddings_survive_the_boundary_and_a_restart(testbed: Path) -> None:
    embedder = await open_embedding("parrot", CONFIG, registry=Registry(Catalog.scan()))
    assert isinstance(embedder, ProcessEmbedding)
    vectors = await embedder.embed(["a", "b", "a"])
    assert vectors[0] == vectors[2] != vectors[1]
    assert await embedder.embed([]) == []
    assert await embedder.embed_batch(["a"], batch_size=1) == vectors[:1]
    assert await embedder.count_tokens(["abc"]) == [3]
    assert (embedder.get_embedding_dim(), embedder.get_max_length()) == (8, 64)
    assert embedder.capabilities == {"backend.embedding"}
    _kill(embedder)
    assert "SIGKILL" in await embedder.wait_down()
    await embedder.restart()
    assert await embedder.embed(["a"]) == vectors[:1]
    await embedder.close()
