"""200 concurrent requests over HTTP, with cancels, disconnects and bad inputs: everything ends, nothing is left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from http_checks import ends_on_sigterm, nothing_is_left_after_a_storm
from served import Served, serve

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serve(
        tmp_path_factory.mktemp("soak"), "--embedding", "demo-embed", "--log-level", "warning"
    ) as served:
        yield served


@pytest.mark.slow
def test_nothing_is_left_after_two_hundred_requests(server: Served) -> None:
    nothing_is_left_after_a_storm(server)


def test_sigterm_after_the_storm_ends_every_process(server: Served) -> None:
    ends_on_sigterm(server)
