"""An engine for tests: real slots, blocks, queue and steps, and an output that is known beforehand.

Tokens are bytes (0..255) and 256 is the end of the text. It steps freely, or, while ``hold()`` is in force, only
when told to.
"""

from __future__ import annotations

import asyncio
import codecs
from collections import deque
from collections.abc import Sequence

from sage_infer_contracts.backend import BackendHealth, BackendStats, Prompt
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.chat import ChatMessage
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.errors import BackendUnavailable, CapacityExceeded, InvalidRequest, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.names import InstanceType
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import FinishReason, TokenDelta, TokenLogprob, TokenStream, Usage

EOS = 256
SCRIPT = "Grüße, 世界! 👋 fine."
BLOCK_TOKENS = 16


class ByteTokenizer:
    """Text as UTF-8 bytes."""

    async def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", "replace"))

    async def encode_chat(self, messages: Sequence[ChatMessage]) -> list[int]:
        return await self.encode("".join(f"{m.role}: {m.content}\n" for m in messages) + "assistant:")

    async def decode(self, token_ids: Sequence[int]) -> str:
        return bytes(token for token in token_ids if token != EOS).decode("utf-8", "replace")


class Job:
    """One sequence in the engine."""

    def __init__(self, request_id: str, prompt: list[int], params: SamplingParams, limit: int) -> None:
        self.request_id = request_id
        self.prompt = prompt
        self.params = params
        self.limit = limit
        self.output: list[int] = []
        self.text = ""
        self.sent = 0
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.blocks = 0
        self.reused = 0
        self.cancelled = False
        self.stream = TokenStream(request_id)

    def blocks_needed(self) -> int:
        return -(-(len(self.prompt) + len(self.output) + 1) // BLOCK_TOKENS)


class ScriptedBackend:
    """The contract, with a script in the place of a model."""

    def __init__(
        self,
        *,
        script: str = SCRIPT,
        max_batch_size: int = 4,
        max_sequence_length: int = 512,
        max_waiting: int = 64,
        blocks: int = 128,
        capabilities: frozenset[str] = frozenset(
            {Capability.BACKEND_GENERATE, Capability.BACKEND_PREFIX_REUSE}
        ),
    ) -> None:
        self._script = list(script.encode())
        self._max_batch_size = max_batch_size
        self._max_sequence_length = max_sequence_length
        self._max_waiting = max_waiting
        self._blocks = blocks
        self._capabilities = frozenset(capabilities)
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._seen: set[tuple[int, ...]] = set()
        self._state = BackendHealth(state="created")
        self._wake = asyncio.Event()
        self._permits: int | None = None
        self._engine: asyncio.Task[None] | None = None
        self.tokenizer = ByteTokenizer()
        self.steps = 0
        self.computed = 0
        self.reused = 0
        self.generated = 0
        self.fail_generate: list[BaseException] = []
        self.ignore_cancel = False
        self.mute_health = False
        self.accepted: list[str] = []
        self.cancels: list[str] = []

    @property
    def capabilities(self) -> frozenset[str]:
        return self._capabilities

    async def start(self) -> None:
        self._state = BackendHealth(state="ready")
        if self._engine is None:  # after a crash the same engine goes on
            self._engine = asyncio.ensure_future(self._run())

    def hold(self) -> None:
        """Step only when told to."""
        self._permits = 0

    def step(self, steps: int = 1) -> None:
        """Allow so many more steps."""
        self._permits = (self._permits or 0) + steps
        self._wake.set()

    def go(self) -> None:
        """Step freely again."""
        self._permits = None
        self._wake.set()

    def crash(self, reason: str = "killed by signal 9") -> None:
        """Die as a worker process does: every stream fails, and so does every later call."""
        self._state = BackendHealth(state="failed", reason=reason)
        self._fail_all(BackendUnavailable(f"the worker died: {reason}"))

    async def generate(
        self, prompts: Sequence[Prompt], params: SamplingParams, *, request_id: str | None = None
    ) -> list[TokenStream]:
        if self._state.state != "ready":
            raise BackendUnavailable(f"backend is {self._state.state}: {self._state.reason}")
        if self.fail_generate:
            raise self.fail_generate.pop(0)
        params.require(self._capabilities)
        ids = [list(await self.tokenizer.encode(p)) if isinstance(p, str) else list(p) for p in prompts]
        for prompt in ids:
            self._check(prompt, params)
        if len(self._waiting) + len(ids) * params.n > self._max_waiting:
            raise CapacityExceeded("the engine's queue is full")
        sequences = [
            self._sequence(request_id or "r", prompt, params) for prompt in ids for _ in range(params.n)
        ]
        self.accepted.append(request_id or "r")
        self._waiting.extend(sequences)
        self._wake.set()
        return [sequence.stream for sequence in sequences]

    async def cancel(self, request_id: str) -> bool:
        self.cancels.append(request_id)
        if self.ignore_cancel:
            return True
        found = [s for s in (*self._running, *self._waiting) if s.request_id == request_id]
        for sequence in found:
            sequence.cancelled = True
        self._settle_cancelled()
        return bool(found)

    async def prefill(self, prompts: object, *, request_id: str, params: object = None) -> object:
        raise Unsupported("no split prefill", capability="backend.split_prefill")

    decode = release = export_kv = import_kv = prefill

    async def health(self) -> BackendHealth:
        if self.mute_health:
            await asyncio.Event().wait()
        return self._state

    async def stats(self) -> BackendStats:
        if self._state.state != "ready":
            raise BackendUnavailable("no figures: the worker is gone")
        held = sum(sequence.blocks for sequence in self._running)
        return BackendStats(
            computed_tokens=self.computed,
            reused_tokens=self.reused,
            generated_tokens=self.generated,
            running=len(self._running),
            waiting=len(self._waiting),
            blocks_total=self._blocks,
            blocks_held=held,
            blocks_free=self._blocks - held,
            steps=self.steps,
        )

    def get_kv_schema(self) -> KVCacheSchema:
        return KVCacheSchema(dtype="fp32", page_size=BLOCK_TOKENS, num_layers=1, num_heads=1, head_dim=8)

    def get_capability(self) -> CapabilityDescriptor:
        return CapabilityDescriptor(
            backend_name="scripted",
            instance_type=InstanceType.GENERAL,
            hardware_backend="cpu",
            max_batch_size=self._max_batch_size,
            max_sequence_length=self._max_sequence_length,
            kv_cache_capacity_gb=self._blocks * self.get_kv_schema().block_bytes / 1e9,
            supported_precisions=("fp32",),
            kv_schema=self.get_kv_schema(),
        )

    def load_quant_profile(self, profile: object) -> None:
        raise Unsupported("no quantisation", capability="backend.quantization")

    async def close(self) -> None:
        self._state = BackendHealth(state="closed")
        self._fail_all(BackendUnavailable("the backend was closed"))
        if self._engine is not None:
            self._engine.cancel()
            await asyncio.gather(self._engine, return_exceptions=True)

    def _sequence(self, request_id: str, prompt: list[int], params: SamplingParams) -> Job:
        room = self._max_sequence_length - len(prompt)
        return Job(request_id, prompt, params, min(params.max_tokens or room, room))

    def _check(self, prompt: list[int], params: SamplingParams) -> None:
        if not prompt or len(prompt) + (params.max_tokens or 1) > self._max_sequence_length:
            raise InvalidRequest("prompt and max_tokens are beyond max_sequence_length", param="prompt")
        if any(token > EOS for token in prompt):
            raise InvalidRequest(f"a prompt token is beyond the vocabulary of {EOS + 1}", param="prompt")

    async def _run(self) -> None:
        while True:
            if self._permits == 0 or not (self._waiting or self._running):
                self._wake.clear()
                await self._wake.wait()
                continue
            if self._permits is not None:
                self._permits -= 1
            self._step()
            await asyncio.sleep(0)

    def _step(self) -> None:
        self.steps += 1
        self._admit()
        for sequence in list(self._running):
            self._advance(sequence)
        self._settle_cancelled()

    def _admit(self) -> None:
        while self._waiting and len(self._running) < self._max_batch_size:
            if self._waiting[0].blocks_needed() > self._free():
                return
            sequence = self._waiting.popleft()
            self._running.append(sequence)
            self._prefill(sequence)

    def _prefill(self, sequence: Job) -> None:
        whole = (len(sequence.prompt) - 1) // BLOCK_TOKENS
        prefixes = [tuple(sequence.prompt[: count * BLOCK_TOKENS]) for count in range(whole, 0, -1)]
        sequence.reused = next((len(prefix) for prefix in prefixes if prefix in self._seen), 0)
        self._seen.update(prefixes)
        self.reused += sequence.reused
        self.computed += len(sequence.prompt) - sequence.reused
        sequence.blocks = sequence.blocks_needed()

    def _advance(self, sequence: Job) -> None:
        if sequence.blocks_needed() > sequence.blocks:
            if not self._free():
                return  # waits a step for a block
            sequence.blocks += 1
        position = len(sequence.output)
        ended = position >= len(self._script) and not sequence.params.ignore_eos
        token = EOS if ended else self._script[position % len(self._script)]
        sequence.output.append(token)
        self.generated += 1
        if token != EOS:
            sequence.text += sequence.decoder.decode(bytes([token]))
        finish, stop_reason = self._finish(sequence, token)
        self._emit(sequence, token, finish, stop_reason)

    def _finish(self, sequence: Job, token: int) -> tuple[FinishReason | None, str | int | None]:
        params = sequence.params
        for stop in params.stop:
            if stop in sequence.text:
                return "stop_string", stop
        if token in params.stop_token_ids:
            return "stop_token", token
        if token == EOS:
            return "eos", None
        return ("length", None) if len(sequence.output) >= sequence.limit else (None, None)

    def _emit(
        self, sequence: Job, token: int, finish: FinishReason | None, stop_reason: str | int | None
    ) -> None:
        end = len(sequence.text)
        if finish == "stop_string":
            end = sequence.text.index(str(stop_reason))
        elif finish is not None:
            sequence.text += sequence.decoder.decode(b"", final=True)
            end = len(sequence.text)
        elif sequence.params.stop:
            end = max(end - max(map(len, sequence.params.stop)) + 1, sequence.sent)
        new, sequence.sent = sequence.text[sequence.sent : end], end
        logprobs = None
        if sequence.params.logprobs is not None:
            top = tuple((max(token - k, 0), -0.5 - k) for k in range(sequence.params.logprobs))
            logprobs = (TokenLogprob(token, -0.5, top),)
        usage = None
        if finish is not None:
            usage = self._usage(sequence)
            self._drop(sequence)
        sequence.stream.push(TokenDelta((token,), new, finish, stop_reason, usage, logprobs))

    def _usage(self, sequence: Job) -> Usage:
        prompt = len(sequence.prompt)
        return Usage(prompt, len(sequence.output), prompt - sequence.reused, sequence.reused)

    def _settle_cancelled(self) -> None:
        for sequence in [s for s in (*self._running, *self._waiting) if s.cancelled]:
            self._drop(sequence)
            sequence.stream.push(TokenDelta((), "", "cancelled", usage=self._usage(sequence)))

    def _drop(self, sequence: Job) -> None:
        sequence.blocks = 0
        if sequence in self._running:
            self._running.remove(sequence)
        else:
            self._waiting.remove(sequence)

    def _free(self) -> int:
        return self._blocks - sum(sequence.blocks for sequence in self._running)

    def _fail_all(self, error: BackendUnavailable) -> None:
        everyone = [*self._running, *self._waiting]
        self._running.clear()
        self._waiting.clear()
        for sequence in everyone:
            sequence.stream.fail(error)
