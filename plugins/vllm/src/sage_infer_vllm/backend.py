"""VLLMBackendAdapter: the InferenceBackend contract over vLLM's AsyncLLM."""

from __future__ import annotations

import asyncio
import copy
import logging
import secrets
import uuid
from collections.abc import Callable, Sequence as Items
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import attrs

from sage_infer_contracts.backend import BackendConfig, BackendHealth, BackendStats, Prompt
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.engines.lifecycle import Lifecycle
from sage_infer_contracts.engines.live import check_prompts, sequence_names
from sage_infer_contracts.engines.tokenizer import ModelTokenizer, decoder
from sage_infer_contracts.errors import BackendUnavailable, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.launch import EngineLaunchPlan
from sage_infer_contracts.quantization import QuantizationProfile
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import DecodeResult, DecodeState, KVExport, PrefillResult
from sage_infer_contracts.streams import TokenStream

from .description import Description, describe
from .engine import Engine
from .errors import ENGINE_DIED
from .options import VLLMOptions
from .requests import Requests
from .sampling import check_params
from .sequence import Event, Sequence
from .split_proof import split_prefill_flaw

_log = logging.getLogger(__name__)


class VLLMBackendAdapter:
    """One model on one vLLM. Created by :func:`sage_infer_vllm.plugin.create`."""

    def __init__(self, config: BackendConfig, plan: EngineLaunchPlan | None = None) -> None:
        """Check settings; vLLM is not imported and no process is started."""
        self.config = config
        self.options = VLLMOptions.parse(config.options)
        self._engine = Engine(config, self.options, plan, runner="generate", park=self.options.split_prefill)
        self._life = Lifecycle("the vLLM backend")
        self._description: Description | None = None
        self._requests: Requests | None = None
        self._tokenizer: ModelTokenizer | None = None
        self._decode: Callable[[list[int]], str] | None = None
        self._executor: ThreadPoolExecutor | None = None

    @property
    def capabilities(self) -> frozenset[str]:
        """What the running engine can do; empty before :meth:`start`."""
        return self._description.capabilities if self._description is not None else frozenset()

    @property
    def tokenizer(self) -> ModelTokenizer:
        """The model's tokenizer; raises ``BackendUnavailable`` before start and after close."""
        self._ready()
        assert self._tokenizer is not None
        return self._tokenizer

    async def start(self) -> None:
        """Start vLLM's processes and load the model."""
        async with self._life.starting(self._stop):
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="sage-infer-vllm")
            await self._engine.start(self._executor)
            await self._read_engine()
            self._life.ready()  # for the proof, which is a request like any other
            await self._prove_split()

    async def generate(
        self, prompts: Items[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        """Start generation and return ``n`` streams per prompt, in order."""
        group = request_id or uuid.uuid4().hex
        prompt_ids = await self._accept(prompts, params, group)
        sequences = self._sequences(prompt_ids, params, group)
        streams = [self._live.stream(sequence) for sequence in sequences]
        await self._live.submit(sequences)
        return streams

    async def prefill(
        self, prompts: Items[Prompt], *, request_id: str, params: SamplingParams | None = None
    ) -> PrefillResult:
        """Compute the KV of ``prompts`` and their first tokens, and hold the requests there under a lease."""
        self._require_split()
        params = params or SamplingParams()
        if params.n != 1:
            raise Unsupported("prefill makes one sequence of each prompt; n must be 1", param="n")
        from .parking import PARK

        prompt_ids = await self._accept(prompts, params, request_id)
        sequences = self._sequences(prompt_ids, params, request_id)
        for sequence in sequences:
            # Named, so that the state can carry it: who goes on elsewhere must draw what would be drawn here.
            if sequence.seed is None and not params.greedy:
                sequence.seed = secrets.randbits(63)
        futures = [self._live.prefilled(sequence) for sequence in sequences]
        try:
            await self._live.submit(sequences, PARK)
            results = await asyncio.gather(*futures)
        except BaseException:
            # All prompts or none: what the others hold goes back.
            await self._live.cancel(request_id)
            raise
        return PrefillResult(request_id, tuple(results))

    async def decode(self, state: DecodeState, *, request_id: str) -> DecodeResult:
        """Let the request behind ``state`` go on; nothing of its prompt is computed again."""
        self._require_split()
        from .parking import RESUME

        return DecodeResult(request_id, await self._live.resume(state, request_id, RESUME))

    async def cancel(self, request_id: str) -> bool:
        """Stop a request, or give back its parked prefill; False if it is unknown or over."""
        if self._life.state != "ready" or self._requests is None:
            return False
        return await self._requests.cancel(request_id)

    async def release(self, state: DecodeState) -> None:
        """Give back the KV of ``state``; the engine frees it within a step."""
        self._require_split()
        await self._live.abort([self._live.leases.take(state)])

    async def export_kv(self, state: DecodeState, location: str) -> KVExport:
        """Refuse: this adapter does not export KV."""
        _refuse(Capability.BACKEND_KV_EXPORT, "KV export")

    async def import_kv(self, export: KVExport, state: DecodeState) -> DecodeState:
        """Refuse: this adapter does not import KV."""
        _refuse(Capability.BACKEND_KV_EXPORT, "KV import")

    def load_quant_profile(self, profile: QuantizationProfile) -> None:
        """Refuse: vLLM quantises weights while it loads them and cannot do it to a loaded model (IB-09)."""
        running = self._ready().quantization or "none"
        raise Unsupported(
            f"vLLM cannot quantise a model that it has loaded (this one runs with quantization={running}); start it "
            f"with the option quantization=METHOD, or serve a checkpoint that is stored quantised",
            capability=Capability.BACKEND_QUANTIZATION,
        )

    async def health(self) -> BackendHealth:
        """Return the state as the event loop knows it; needs no answer from the engine."""
        if self._engine.died:
            self._life.fail(BackendUnavailable(ENGINE_DIED))
        return self._life.health()

    async def stats(self) -> BackendStats:
        """Return vLLM's own counters and gauges as of its last step."""
        if self._description is None:
            return BackendStats()
        return self._engine.counters.stats(self._description.usable_blocks)

    def get_capability(self) -> CapabilityDescriptor:
        """Describe the instance as the running engine describes itself."""
        return self._ready().capability(self.config)

    def get_kv_schema(self) -> KVCacheSchema:
        """Describe the blocks as the engine's workers allocated them."""
        description = self._ready()
        if description.schema is None:
            raise Unsupported(description.no_schema_reason)
        return description.schema

    async def close(self) -> None:
        """End vLLM's processes and fail what is pending; idempotent."""
        await self._life.close(self._stop)

    @property
    def _live(self) -> Requests:
        self._ready()
        assert self._requests is not None
        return self._requests

    async def _read_engine(self) -> None:
        from jinja2 import TemplateError

        llm, engine = self._engine.llm, self._engine
        assert self._executor is not None
        self._description = describe(self.config, llm, await engine.kv_report(), can_park=engine.can_park)
        self._requests = Requests(engine, self._description, self.options.lease_s)
        tokenizer = llm.get_tokenizer()
        self._decode = decoder(tokenizer)
        # A copy: vLLM uses its own on the event loop, and a tokenizer must not be used by two threads.
        self._tokenizer = ModelTokenizer(
            copy.deepcopy(tokenizer), self._executor, template_error=TemplateError
        )

    async def _prove_split(self) -> None:
        """Declare split prefill only if this engine, with this model and platform, really holds a request."""
        if Capability.BACKEND_SPLIT_PREFILL not in self.capabilities:
            return
        assert self._description is not None
        reason = await split_prefill_flaw(self)
        self._engine.counters.reset()
        if reason is not None:
            _log.warning("vLLM %s does not split prefill from decode here: %s", self._engine.version, reason)
            capabilities = self.capabilities - {Capability.BACKEND_SPLIT_PREFILL}
            self._description = attrs.evolve(self._description, capabilities=capabilities)

    async def _stop(self) -> None:
        requests, self._requests = self._requests, None
        executor, self._executor = self._executor, None
        self._tokenizer = None
        if requests is not None:
            await requests.close(BackendUnavailable("the backend was closed"))
        if executor is None:
            return
        try:
            await self._engine.close(executor, self.options.close_timeout_s)
        finally:
            # Quick: the wait for the engine's processes was its last task.
            executor.shutdown(wait=True, cancel_futures=True)

    def _ready(self) -> Description:
        self._life.require_ready()
        assert self._description is not None
        return self._description

    def _require_split(self) -> None:
        self._ready()
        if Capability.BACKEND_SPLIT_PREFILL not in self.capabilities:
            _refuse(Capability.BACKEND_SPLIT_PREFILL, "separate prefill and decode")

    async def _accept(
        self, prompts: Items[Prompt], params: SamplingParams, request_id: str
    ) -> list[list[int]]:
        """Tokenise and check ``prompts``; nothing has been started when this raises."""
        description = self._ready()
        params.require(self.capabilities)
        check_prompts(prompts)
        check_params(params, max_logprobs=description.max_logprobs, vocabulary=description.limits.vocabulary)
        prompt_ids = [
            await self.tokenizer.encode(prompt) if isinstance(prompt, str) else list(prompt)
            for prompt in prompts
        ]
        for ids in prompt_ids:
            description.limits.check(ids, params)
        self._live.live.reserve(request_id, len(prompt_ids) * params.n)
        return prompt_ids

    def _sequences(self, prompt_ids: list[list[int]], params: SamplingParams, group: str) -> list[Sequence]:
        assert self._decode is not None
        repeated = [(ids, index) for ids in prompt_ids for index in range(params.n)]
        names = sequence_names(group, len(repeated))
        return [
            Sequence(
                request_id=name,
                group=group,
                prompt_token_ids=ids,
                params=params,
                seed=_seed(params.seed, index),
                decode=self._decode,
                sink=_unset,
            )
            for name, (ids, index) in zip(names, repeated, strict=True)
        ]


def _seed(seed: int | None, index: int) -> int | None:
    """Return the seed of the ``index``-th output of a prompt: as vLLM's own fan-out counts them."""
    return None if seed is None else seed + index


def _unset(event: Event) -> None:
    """Replaced before the engine hears of the sequence."""


def _refuse(capability: Capability, what: str) -> NoReturn:
    raise Unsupported(f"the vLLM adapter does not support {what} here", capability=capability)
