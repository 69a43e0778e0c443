"""The parts of the comparison with vLLM: adapter, server, start-up."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import attrs

from benchmarks import reporting
from benchmarks.engine_settings import EngineSettings, Launch
from benchmarks.http_arm import TEXT_PROMPT, HttpArm
from benchmarks.inline_arms import AdapterArm, DirectArm, outputs_differ
from benchmarks.measuring import SETTLE_S, Arm, PromptSource, TreeCpu, progress
from benchmarks.pairing import Comparison, Point, compare, in_turn
from benchmarks.servers import running, sage_infer_server, vllm_server
from sage_infer.backends.opening import open_backend

IDLE_WATCH_S = 3.0
BUSY_IDLE_SHARE = 0.02


class OutputsDifferError(Exception):
    """Both arms were given the same and did not answer the same."""


@attrs.frozen
class Plan:
    """What to run."""

    settings: EngineSettings
    launch: Launch
    points: tuple[Point, ...]
    repeats: int
    startup_repeats: int
    output_tokens: int
    seed: int

    async def compare(self, ours: Arm, baseline: Arm) -> list[Comparison]:
        """Compare two arms at every load."""
        prompts = PromptSource(self.seed)
        return [
            await compare(
                ours, baseline, point, repeats=self.repeats, prompts=prompts, output_tokens=self.output_tokens
            )
            for point in self.points
        ]


@attrs.frozen
class Part:
    """A part's result, to print and to keep."""

    text: str
    data: object


async def adapter_part(plan: Plan) -> Part:
    """Compare the adapter with the ``AsyncLLM`` that it runs, on that one engine."""
    progress("adapter: starting one engine for both arms")
    backend = await open_backend("vllm", plan.settings.config, isolation="inline")
    try:
        cpu = TreeCpu(os.getpid())
        ours = AdapterArm(backend, plan.output_tokens, cpu)
        baseline = DirectArm(cast("Any", backend)._engine.llm, plan.output_tokens, cpu)
        lengths = sorted({point.prompt_tokens for point in plan.points})
        prompts = PromptSource(plan.seed - 1)
        flaw = await outputs_differ(ours, baseline, [prompts.take(1, length)[0] for length in lengths])
        if flaw is not None:
            raise OutputsDifferError(flaw)
        done = await plan.compare(ours, baseline)
    finally:
        await backend.close()
    text = reporting.comparison_text("adapter", (ours.name, baseline.name), done, reporting.ADAPTER_TARGETS)
    return Part(text, reporting.comparison_data(done))


async def server_part(plan: Plan) -> Part:
    """Compare our server with vLLM's, both loaded, one under load at a time."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sage-infer-benchmark-")))
        arms = []
        for kind in (sage_infer_server, vllm_server):
            progress(f"server: starting {kind.__name__}")
            server = stack.enter_context(running(kind(plan.settings, plan.launch), folder))
            arms.append(HttpArm(server, plan.settings.model.model_id, plan.output_tokens))
        ours, baseline = arms
        texts = [await arm.greedy(TEXT_PROMPT) for arm in arms]
        if texts[0] != texts[1]:
            raise OutputsDifferError(f"{ours.name} answers {texts[0]!r}, {baseline.name} {texts[1]!r}")
        idle = await _idle_shares(arms)
        done = await plan.compare(ours, baseline)
    text = reporting.comparison_text("server", (ours.name, baseline.name), done, reporting.SERVER_TARGETS)
    return Part(
        f"{text}\n{_idle_text(idle)}", {"idle_cpu_shares": idle, "points": reporting.comparison_data(done)}
    )


async def _idle_shares(arms: list[HttpArm]) -> dict[str, float]:
    """Return the share of one core that each server uses while none has work."""
    await asyncio.sleep(SETTLE_S)
    before_s = [arm.cpu_s() for arm in arms]
    await asyncio.sleep(IDLE_WATCH_S)
    return {
        arm.name: (arm.cpu_s() - used_s) / IDLE_WATCH_S for arm, used_s in zip(arms, before_s, strict=True)
    }


def _idle_text(shares: dict[str, float]) -> str:
    shown = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    busy = max(shares.values()) > BUSY_IDLE_SHARE
    return (
        f"Idle servers used this share of a core: {shown}{'; THIS DISTURBS the other one' if busy else ''}."
    )


def startup_part(plan: Plan) -> Part:
    """Compare the time from process start to ready."""
    kinds = (sage_infer_server(plan.settings, plan.launch), vllm_server(plan.settings, plan.launch))
    seconds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="sage-infer-benchmark-") as folder:
        for repeat in range(-1, plan.startup_repeats):
            turn = {}
            for kind in in_turn(kinds, repeat):
                with running(kind, Path(folder)) as server:
                    turn[kind.name] = server.start_s
                progress(f"startup {repeat + 1}/{plan.startup_repeats}: {kind.name} {server.start_s:.2f} s")
            if repeat >= 0:
                seconds.append(turn)
    names = (kinds[0].name, kinds[1].name)
    return Part(
        reporting.startup_text(names, [(turn[names[0]], turn[names[1]]) for turn in seconds]), seconds
    )


PARTS: dict[str, Callable[[Plan], Part]] = {
    "adapter": lambda plan: asyncio.run(adapter_part(plan)),
    "server": lambda plan: asyncio.run(server_part(plan)),
    "startup": startup_part,
}
"""The parts by name, in order."""
