"""The native engine with one fault each: what the kit finds on the small reference it must find on a real model."""

from __future__ import annotations

from collections.abc import Sequence as Items
from functools import partial

import attrs

from sage_infer_contracts.backend import BackendConfig, Prompt
from sage_infer_contracts.launch import BackendContext
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import TokenDelta, TokenStream, Usage
from sage_infer_contracts.testing import Subject
from sage_infer_torch.backend import TorchBackend
from sage_infer_torch.device_cpu import CpuRuntime


class DropsLastToken(TorchBackend):
    """IB-06: the last delta comes without its token."""

    async def generate(
        self, prompts: Items[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        streams = await super().generate(prompts, params, request_id=request_id)
        for stream in streams:
            stream.push = partial(self._without, stream.push)  # type: ignore[method-assign]
        return streams

    def _without(self, push, delta: TokenDelta) -> None:  # type: ignore[no-untyped-def]
        push(attrs.evolve(delta, token_ids=()) if delta.finish_reason is not None else delta)


class ComputesOn(TorchBackend):
    """IB-04: a cancelled stream ends, and the engine goes on to the end of the output."""

    async def generate(
        self, prompts: Items[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        streams = await super().generate(prompts, params, request_id=request_id)
        self.streams = {stream.request_id: stream for stream in streams}
        return streams

    def _cancel(self, request_id: str) -> bool:
        stream = self.streams.get(request_id)
        if stream is None or stream.ended:
            return False
        stream.push(TokenDelta((), "", "cancelled", None, Usage(0, 0, 0, 0)))
        return True


class ForgetsSeeds(TorchBackend):
    """IB-11: a seed is taken and not used."""

    async def generate(
        self, prompts: Items[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        unseeded = params.model_copy(update={"seed": None})
        return await super().generate(prompts, unseeded, request_id=request_id)


def _subject(made: type[TorchBackend]) -> Subject:
    def create(config: BackendConfig, context: BackendContext) -> TorchBackend:
        return made(config, context.device_runtime or CpuRuntime())

    return Subject("backend", create, facts={"lease_option": "lease_s"})


drops_last_token, computes_on, forgets_seeds = map(_subject, (DropsLastToken, ComputesOn, ForgetsSeeds))
