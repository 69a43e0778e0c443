"""200 concurrent requests over HTTP, with cancels, disconnects and bad inputs: everything ends, nothing is left."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from served import Served, serve
from storm import REQUESTS, footprint, settled, storm

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(
        tmp_path_factory.mktemp("soak"), "--embedding", "demo-embed", "--log-level", "warning"
    ) as served:
        yield served


@pytest.mark.slow
def test_nothing_is_left_after_two_hundred_requests(server: Served) -> None:
    # A small storm first: thread pools and lazily opened files exist once, not per request.
    asyncio.run(storm(server, 24, seed=1))
    server.wait_idle()
    before = footprint(server)

    outcomes = asyncio.run(storm(server, REQUESTS, seed=2))
    server.wait_idle()

    assert sum(outcomes.values()) == REQUESTS
    assert server.metric("sage:kv_cache_usage_perc") == 0.0
    assert settled(server, before) == {}
    assert server.get("/health")[0] == 200


def test_sigterm_after_the_storm_ends_every_process(server: Served, tmp_path: Path) -> None:
    tree = server.tree()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(timeout=60) == 0, server.log.read_text()[-4000:]
    assert [
        process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ] == []
