"""A short real exercise of one backend: does it start, repeat itself, split, stop, and give back what it held?

It answers "does this backend work here at all"; the conformance kit answers whether it keeps the contract.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import attrs

from sage_infer_contracts.backend import BackendConfig, InferenceBackend
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import Completion

from .opening import Isolation, Progress, open_backend

if TYPE_CHECKING:
    from sage_infer.plugins import Registry

PROMPT = "The capital of France is"
STEP_TIMEOUT_S = 300.0
_GREEDY = SamplingParams(temperature=0, max_tokens=16, ignore_eos=True)
_SETTLE_S = 10.0


@attrs.frozen(slots=True)
class StepResult:
    """One step. ``ok`` is None when the backend does not declare what the step needs."""

    name: str
    ok: bool | None
    detail: str
    seconds: float


class _Failed(Exception):
    """A step found something wrong; the message says what."""


async def exercise(
    name: str,
    config: BackendConfig,
    *,
    isolation: Isolation,
    registry: Registry,
    start_timeout_s: float = STEP_TIMEOUT_S,
    progress: Progress | None = None,
) -> list[StepResult]:
    """Open ``name``, run every step, close it. Steps after a failed start are left out; nothing is raised."""
    from sage_infer.workers import WorkerSettings

    opened: list[InferenceBackend] = []

    async def start() -> str:
        settings = WorkerSettings(start_timeout_s=start_timeout_s)
        opened.append(
            await open_backend(
                name, config, isolation=isolation, registry=registry, settings=settings, progress=progress
            )
        )
        return getattr(opened[0], "description", "in this process")

    results = [await _step("start", start, start_timeout_s)]
    if opened:
        backend = opened[0]
        for title, check in _CHECKS.items():
            if progress is not None:
                progress(f"checking: {title}", None)
            results.append(await _step(title, lambda check=check: check(backend), STEP_TIMEOUT_S))  # type: ignore[misc]
        results.append(await _step("close", lambda: _close(backend), STEP_TIMEOUT_S))
    return results


async def _step(name: str, run: Callable[[], Awaitable[str | None]], timeout_s: float) -> StepResult:
    started = time.perf_counter()
    ok: bool | None
    try:
        async with asyncio.timeout(timeout_s):
            said = await run()
        ok, detail = (None, "") if said is None else (True, said)
    except (SageInferError, _Failed) as error:
        ok, detail = False, str(error)
    except TimeoutError:
        ok, detail = False, f"not done within {timeout_s:g} s"
    # The backend under test is plugin code, in this process when inline: whatever it raises is the finding.
    except Exception as error:  # noqa: BLE001
        ok, detail = False, f"raised {type(error).__name__} from outside the error family: {error}"
    return StepResult(name, ok, detail, time.perf_counter() - started)


async def _capability(backend: InferenceBackend) -> str:
    said = backend.get_capability()
    declared, listed = backend.capabilities, said.capabilities
    if listed and listed != declared:
        raise _Failed(f"get_capability() and capabilities differ in {', '.join(sorted(listed ^ declared))}")
    health = await backend.health()
    if health.state != "ready":
        raise _Failed(f"health is {health.state}: {health.reason}")
    return f"{said.hardware_backend}, {said.max_sequence_length} tokens, {said.max_batch_size} sequences"


async def _generate(backend: InferenceBackend, request_id: str) -> Completion:
    (stream,) = await backend.generate([PROMPT], _GREEDY, request_id=request_id)
    return await stream.collect()


async def _greedy_twice(backend: InferenceBackend) -> str:
    first, second = await _generate(backend, "test-1"), await _generate(backend, "test-2")
    if first.token_ids != second.token_ids:
        raise _Failed(f"greedy answers differ (IB-01): {first.text!r} and {second.text!r}")
    if len(first.token_ids) != _GREEDY.max_tokens or first.finish_reason != "length":
        raise _Failed(
            f"{len(first.token_ids)} tokens, {first.finish_reason}; asked for {_GREEDY.max_tokens} (IB-05)"
        )
    if second.usage.computed_prompt_tokens + second.usage.reused_prompt_tokens != second.usage.prompt_tokens:
        raise _Failed("computed and reused prompt tokens do not add up (IB-08)")
    return repr(first.text)


async def _split(backend: InferenceBackend) -> str | None:
    if Capability.BACKEND_SPLIT_PREFILL not in backend.capabilities:
        return None
    whole = await _generate(backend, "test-whole")
    prefilled = await backend.prefill([PROMPT], request_id="test-split", params=_GREEDY)
    result = await backend.decode(prefilled.states[0], request_id="test-split")
    rest = await result.stream.collect()
    tokens = (*prefilled.sequences[0].first.token_ids, *rest.token_ids)
    if tokens != whole.token_ids:
        raise _Failed(f"prefill and decode gave {tokens}, generate {whole.token_ids} (IB-02)")
    return f"{len(tokens)} equal tokens"


async def _cancel(backend: InferenceBackend) -> str:
    before = (await backend.stats()).blocks_held
    params = _GREEDY.model_copy(update={"max_tokens": None})
    (stream,) = await backend.generate([PROMPT], params, request_id="test-cancel")
    async for _ in stream:
        break
    await backend.cancel("test-cancel")
    done = await stream.collect()
    if done.finish_reason != "cancelled":
        raise _Failed(f"the cancelled stream ended with {done.finish_reason} (IB-04)")
    deadline = time.monotonic() + _SETTLE_S
    while (held := (await backend.stats()).blocks_held) > before:
        if time.monotonic() > deadline:
            raise _Failed(f"{held} blocks held after cancel, {before} before (IB-04)")
        await asyncio.sleep(0.05)
    return f"{held} blocks held, as before"


async def _close(backend: InferenceBackend) -> str:
    await backend.close()
    await backend.close()
    state = (await backend.health()).state
    if state != "closed":
        raise _Failed(f"health is {state} after close (IB-10)")
    return "twice"


_CHECKS: dict[str, Callable[[InferenceBackend], Awaitable[str | None]]] = {
    "capability": _capability,
    "greedy twice": _greedy_twice,
    "prefill and decode": _split,
    "cancel": _cancel,
}
