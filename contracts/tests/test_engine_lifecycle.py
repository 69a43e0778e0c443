"""A backend's states, and the error that a failed start leaves."""

from __future__ import annotations

import pytest

from sage_infer_contracts.engines.lifecycle import Lifecycle
from sage_infer_contracts.errors import BackendUnavailable, InvalidRequest


class Undo:
    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1


async def test_a_start_leads_to_ready_once() -> None:
    life, undo = Lifecycle("the backend"), Undo()
    async with life.starting(undo):
        assert life.health().state == "starting"
    life.require_ready()
    with pytest.raises(BackendUnavailable, match="is ready; create a new one"):
        async with life.starting(undo):
            pass
    assert (life.state, undo.calls) == ("ready", 0)


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (InvalidRequest("bad model"), InvalidRequest),
        (KeyError("x"), BackendUnavailable),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
async def test_a_failed_start_is_undone_and_of_the_family(
    error: BaseException, becomes: type[BaseException]
) -> None:
    life, undo = Lifecycle("the backend"), Undo()
    with pytest.raises(becomes):
        async with life.starting(undo):
            raise error
    assert (life.state, undo.calls) == ("failed", 1)
    assert type(error).__name__ in (life.health().reason or "")
    with pytest.raises(BackendUnavailable, match="the backend is failed"):
        life.require_ready()


async def test_a_backend_closed_while_it_starts_is_never_ready() -> None:
    life, undo = Lifecycle("the backend"), Undo()
    with pytest.raises(BackendUnavailable, match="closed while it was starting"):
        async with life.starting(undo):
            await life.close(undo)
    assert life.state == "closed"
    assert undo.calls == 2


async def test_only_a_serving_backend_can_fail() -> None:
    life, undo = Lifecycle("the backend"), Undo()
    assert not life.fail(ValueError("early"))
    async with life.starting(undo):
        pass
    assert life.fail(ValueError("boom"))
    assert not life.fail(ValueError("again"))
    assert life.health().reason == "ValueError: boom"
    await life.close(undo)
    assert life.health().state == "closed"
    assert not life.fail(ValueError("late"))
