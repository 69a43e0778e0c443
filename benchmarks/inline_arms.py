"""Our adapter, and its own AsyncLLM without it: two ways to one engine, so that only the adapter differs."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs

from benchmarks.measuring import Ask, Prompt, RequestTimes, TreeCpu
from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.sampling import SamplingParams


@attrs.define
class Timeline:
    """Takes the time of a request's outputs."""

    start_s: float = attrs.field(factory=time.perf_counter)
    first_s: float = 0.0
    last_s: float = 0.0
    tokens: list[int] = attrs.field(factory=list)

    def saw(self, token_ids: tuple[int, ...] | list[int]) -> None:
        """Note that tokens have arrived."""
        self.last_s = time.perf_counter()
        if not self.tokens:
            self.first_s = self.last_s
        self.tokens += token_ids

    def done(self) -> RequestTimes:
        """Return the request's times."""
        return RequestTimes(self.start_s, self.first_s, self.last_s, len(self.tokens))


@attrs.frozen
class AdapterArm:
    """``VLLMBackendAdapter.generate``."""

    backend: InferenceBackend
    output_tokens: int
    cpu: TreeCpu
    name: str = "adapter"

    def cpu_s(self) -> float:
        """Return the CPU seconds of this process and the engine's."""
        return self.cpu.read_s()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Ask]:
        """Yield what sends a prompt."""
        yield self._ask

    async def greedy(self, prompt: Prompt) -> list[int]:
        """Return the output of ``prompt``."""
        return (await self._run(prompt)).tokens

    async def _ask(self, prompt: Prompt) -> RequestTimes:
        return (await self._run(prompt)).done()

    async def _run(self, prompt: Prompt) -> Timeline:
        line = Timeline()
        params = SamplingParams(max_tokens=self.output_tokens, temperature=0.0, ignore_eos=True)
        (stream,) = await self.backend.generate([prompt], params, request_id=uuid.uuid4().hex)
        async for delta in stream:
            line.saw(delta.token_ids)
        return line


@attrs.frozen
class DirectArm:
    """``AsyncLLM.generate`` as vLLM's own server calls it: deltas, from an input that needs no more rendering."""

    llm: Any
    output_tokens: int
    cpu: TreeCpu
    name: str = "AsyncLLM"

    def cpu_s(self) -> float:
        """Return the CPU seconds of this process and the engine's."""
        return self.cpu.read_s()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Ask]:
        """Yield what sends a prompt."""
        yield self._ask

    async def greedy(self, prompt: Prompt) -> list[int]:
        """Return the output of ``prompt``."""
        return (await self._run(prompt)).tokens

    async def _ask(self, prompt: Prompt) -> RequestTimes:
        return (await self._run(prompt)).done()

    async def _run(self, prompt: Prompt) -> Timeline:
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind, SamplingParams as VLLMParams

        line = Timeline()
        params = VLLMParams(
            max_tokens=self.output_tokens,
            temperature=0.0,
            ignore_eos=True,
            output_kind=RequestOutputKind.DELTA,
            skip_clone=True,
        )
        async for output in self.llm.generate(tokens_input(list(prompt)), params, uuid.uuid4().hex):
            line.saw(output.outputs[0].token_ids)
        return line


async def outputs_differ(ours: AdapterArm, baseline: DirectArm, prompts: list[list[int]]) -> str | None:
    """Say how the greedy outputs of equal prompts differ; None if they are equal. Both sides compute from cold."""
    for prompt in prompts:
        outputs = []
        for arm in (ours, baseline):
            await baseline.llm.reset_prefix_cache()
            outputs.append(await arm.greedy(prompt))
        if outputs[0] != outputs[1]:
            return (
                f"a prompt of {len(prompt)} tokens gives {outputs[0]} by the adapter, {outputs[1]} directly"
            )
    return None
