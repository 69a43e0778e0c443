"""A real, deterministic backend for tests: one token per byte, and the model repeats its prompt over and over.

Everything in the contract that a worker carries is honoured: limits, cancel, prefill and decode with leases, stop
strings, seeds, counters. ``BackendConfig.options`` makes it misbehave where a test needs that. A prompt or text
``CAT`` is the end of its engine but not of its process, as with an engine that runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import codecs
import os
import random
import sys
import threading
import uuid

from sage_infer_contracts.backend import BackendConfig, BackendHealth, BackendStats
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.errors import (
    BackendUnavailable,
    CapacityExceeded,
    DeviceUnavailable,
    InvalidRequest,
    Unsupported,
)
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.launch import BackendContext, BackendRecipe, EngineLaunchPlan
from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.states import (
    DecodeResult,
    DecodeState,
    DetokeniserState,
    KVHandle,
    PrefilledSequence,
    PrefillResult,
    RngState,
)
from sage_infer_contracts.streams import TokenDelta, TokenLogprob, TokenStream, Usage

EOS = 0
CAT = "a cat"
EATEN = "a cat ate the engine"


class ParrotTokenizer:
    async def encode(self, text):
        return list(text.encode())

    async def encode_chat(self, messages):
        if any(message.role == "tool" for message in messages):
            raise InvalidRequest("the template knows no tool turns", param="messages")
        return list("".join(f"{m.role}: {m.content}\n" for m in messages).encode())

    async def decode(self, token_ids):
        return bytes(token_ids).decode("utf-8", "replace")


class ParrotBackend:
    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        self._config = config
        self._options = dict(config.options)
        self._context = context
        self._max_length = config.max_sequence_length or 4096
        self._max_batch = config.max_batch_size or 8
        self._state = "created"
        self._reason = None
        self._instance = uuid.uuid4().hex
        self._leases: dict[str, list[int]] = {}
        self._running: dict[str, tuple[asyncio.Task, TokenStream]] = {}
        self._computed = self._generated = self._steps = 0
        self._quantised = False
        self.tokenizer = ParrotTokenizer()

    @property
    def capabilities(self):
        names = {Capability.BACKEND_GENERATE, Capability.BACKEND_SPLIT_PREFILL, Capability.BACKEND_LOGPROBS}
        if self._options.get("quantises"):
            names.add(Capability.BACKEND_QUANTIZATION)
        return frozenset(str(name) for name in names)

    async def start(self):
        options = self._options
        if options.get("say"):
            print(options["say"], file=sys.stderr, flush=True)
        if options.get("flood_lines"):
            for number in range(int(options["flood_lines"])):
                print(f"flood {number} " + "x" * 500, file=sys.stderr)
            sys.stderr.flush()
        if options.get("exit_at_start") is not None:
            os._exit(int(options["exit_at_start"]))
        if options.get("hang_at_start"):
            await asyncio.Event().wait()
        if options.get("block_at_start"):
            threading.Event().wait()
        if options.get("no_device"):
            raise DeviceUnavailable("no parrot device; install parrot-runtime", reason="missing")
        if options.get("broken_start"):
            raise KeyError("outside the family")
        self._state = "ready"

    async def prefill(self, prompts, *, request_id, params=None):
        sampling = params or SamplingParams(temperature=0)
        sequences = []
        for prompt in prompts:
            ids = self._ids(prompt)
            self._computed += len(ids)
            tokens = self._tokens(ids, sampling)
            first = tokens[0]
            lease = uuid.uuid4().hex
            state = DecodeState(
                request_id=request_id,
                prompt_token_ids=ids,
                output_token_ids=(first,),
                params=sampling,
                rng=RngState(seed=0, draws=1),
                detokeniser=DetokeniserState(prefix_offset=0, read_offset=0),
                kv=KVHandle(instance=self._instance, generation=0, lease=lease),
            )
            self._leases[lease] = ids
            sequences.append(
                PrefilledSequence(TokenDelta((first,), bytes([first]).decode("utf-8", "ignore")), state)
            )
        return PrefillResult(request_id, tuple(sequences))

    async def decode(self, state, *, request_id):
        self._claim(state)
        return DecodeResult(
            request_id, self._stream(request_id, list(state.prompt_token_ids), state.params, 1)
        )

    async def release(self, state):
        self._claim(state)

    async def generate(self, prompts, params, *, request_id=None):
        if self._state != "ready":
            raise BackendUnavailable("not started")
        params.require(self.capabilities)
        if len(self._running) + len(prompts) > self._max_batch:
            raise CapacityExceeded("the parrot is busy")
        if self._options.get("broken_generate"):
            raise ZeroDivisionError("outside the family")
        ids = [self._ids(prompt) for prompt in prompts]
        if list(CAT.encode()) in ids:
            self._state, self._reason = "failed", EATEN
        base = request_id or uuid.uuid4().hex
        names = [base] if len(ids) == 1 else [f"{base}/{index}" for index in range(len(ids))]
        for prompt in ids:
            self._computed += len(prompt)
        return [self._stream(name, prompt, params, 0) for name, prompt in zip(names, ids, strict=True)]

    async def cancel(self, request_id):
        found = [
            stream
            for name, (_, stream) in self._running.items()
            if name == request_id or name.startswith(f"{request_id}/")
        ]
        for stream in found:
            stream.cancel()
        return bool(found)

    async def health(self):
        if self._options.get("hang_health"):
            await asyncio.Event().wait()
        if self._options.get("raise_health"):
            raise LookupError("no pulse" if self._options["raise_health"] is True else "\udc80")
        if self._state == "failed" and self._options.get("ends_streams"):
            for _, stream in self._running.values():
                asyncio.get_running_loop().call_soon(stream.fail, BackendUnavailable("the cat has it"))
        return BackendHealth(state=self._state, reason=self._reason)

    async def stats(self):
        held = len(self._running) + len(self._leases)
        return BackendStats(
            computed_tokens=self._computed,
            generated_tokens=self._generated,
            running=len(self._running),
            blocks_total=64,
            blocks_held=held,
            blocks_free=64 - held,
            steps=self._steps,
        )

    def get_capability(self):
        return CapabilityDescriptor(
            backend_name="parrot",
            hardware_backend=self._config.device,
            max_batch_size=self._max_batch,
            max_sequence_length=self._max_length,
            kv_cache_capacity_gb=0.0,
            supported_precisions=("fp32",),
            kv_schema=None if self._options.get("keeps_no_kv") else self.get_kv_schema(),
            quant_profile_id="w8" if self._quantised else None,
            capabilities=self.capabilities,
        )

    def get_kv_schema(self):
        if self._options.get("keeps_no_kv"):
            raise Unsupported("keeps no KV")
        return KVCacheSchema(dtype="fp32", page_size=16, num_layers=1, num_heads=1, head_dim=1)

    def load_quant_profile(self, profile):
        if not self._options.get("quantises"):
            raise Unsupported("cannot quantise", capability=Capability.BACKEND_QUANTIZATION)
        self._quantised = True

    async def export_kv(self, state, location):
        raise Unsupported("cannot export", capability=Capability.BACKEND_KV_EXPORT)

    async def import_kv(self, export, state):
        raise Unsupported("cannot import", capability=Capability.BACKEND_KV_EXPORT)

    async def close(self):
        if self._options.get("hang_close"):
            await asyncio.Event().wait()
        if self._options.get("broken_close"):
            raise OSError("the cage is stuck")
        if self._options.get("fails_in_close"):
            self._state = "failed"
            await asyncio.sleep(float(self._options["fails_in_close"]))
        self._state = "closed"
        for task, stream in list(self._running.values()):
            task.cancel()
            stream.fail(BackendUnavailable("closed"))
        self._leases.clear()

    def _ids(self, prompt):
        ids = list(prompt.encode() if isinstance(prompt, str) else prompt)
        if not ids:
            raise InvalidRequest("the prompt is empty", param="prompt")
        if len(ids) >= self._max_length:
            raise InvalidRequest(
                f"the prompt has {len(ids)} tokens; max_sequence_length is {self._max_length}", param="prompt"
            )
        return ids

    def _claim(self, state):
        if state.kv.instance != self._instance or self._leases.pop(state.kv.lease, None) is None:
            raise InvalidRequest("the state is stale, foreign or used", param="state")

    def _tokens(self, ids, params):
        room = self._max_length - len(ids)
        count = min(params.max_tokens or room, room)
        if params.greedy:
            return [ids[index % len(ids)] for index in range(count)]
        draw = random.Random(params.seed)
        return [draw.choice(ids) for _ in range(count)]

    def _stream(self, name, ids, params, skip):
        cancelled = asyncio.Event()
        stream = TokenStream(name, on_cancel=cancelled.set)
        task = asyncio.get_running_loop().create_task(self._run(stream, ids, params, skip, cancelled))
        self._running[name] = (task, stream)
        task.add_done_callback(lambda _task: self._running.pop(name, None))
        return stream

    async def _run(self, stream, ids, params, skip, cancelled):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        tokens = self._tokens(ids, params)
        text, reason, stopped = "", "length", None
        for index, token in enumerate(tokens):
            await asyncio.sleep(float(self._options.get("step_s", 0)))
            self._steps += 1
            piece = decoder.decode(bytes([token]))
            text += piece
            if index < skip:
                continue
            self._generated += 1
            if self._options.get("break_stream_at") == index:
                raise stream.fail(RuntimeError("parrot flew away")) or asyncio.CancelledError
            if self._options.get("kill_at") == index:
                os._exit(9)
            hit = next((stop for stop in params.stop if text.endswith(stop)), None)
            if cancelled.is_set():
                reason = "cancelled"
            elif hit is not None:
                reason, stopped = "stop_string", hit
            elif token == EOS and not params.ignore_eos:
                reason = "eos"
            last = reason != "length" or index == len(tokens) - 1
            logprobs = (TokenLogprob(token, -0.5, ((token, -0.5),)),) if params.logprobs is not None else None
            usage = Usage(len(ids), index + 1, len(ids), 0) if last else None
            stream.push(TokenDelta((token,), piece, reason if last else None, stopped, usage, logprobs))
            if last:
                return


class ParrotEmbedding:
    def __init__(self, config: BackendConfig, context: BackendContext) -> None:
        self._config = config
        self._computed = 0
        self._state = "created"
        self._reason = None
        self.capabilities = frozenset({str(Capability.BACKEND_EMBEDDING)})

    async def start(self):
        self._state = "ready"

    async def embed(self, texts):
        if any(len(text.encode()) > self.get_max_length() for text in texts):
            raise InvalidRequest(f"a text has more than {self.get_max_length()} tokens", param="input")
        if CAT in texts:
            self._state, self._reason = "failed", EATEN
        self._computed += sum(len(text.encode()) for text in texts)
        return [[random.Random(f"{text}{axis}").uniform(-1, 1) for axis in range(8)] for text in texts]

    async def embed_batch(self, texts, batch_size=32):
        return await self.embed(texts)

    async def count_tokens(self, texts):
        return [len(text.encode()) for text in texts]

    def get_embedding_dim(self):
        return 8

    def get_max_length(self):
        return 64

    def get_capability(self):
        return CapabilityDescriptor(
            backend_name="parrot",
            hardware_backend="cpu",
            max_batch_size=32,
            max_sequence_length=64,
            kv_cache_capacity_gb=0.0,
            supported_precisions=("fp32",),
            capabilities=self.capabilities,
        )

    async def health(self):
        return BackendHealth(state=self._state, reason=self._reason)

    async def stats(self):
        return BackendStats(computed_tokens=self._computed)

    async def close(self):
        self._state = "closed"


class ParrotSource:
    def resolve(self, request):
        from sage_infer_contracts.backend import ModelLocation

        folder = request.cache_dir / "parrot"
        folder.mkdir(exist_ok=True)
        request.progress("hatching", 0.5)
        (folder / "config.json").write_text('{"model_type": "parrot"}')
        return ModelLocation(model_id=request.name, path=str(folder), source="parrot-model")


class NotABackend:
    def __init__(self, config, context):
        pass


def broken_factory(config, context):
    raise OSError("no such library: libparrot.so")


RECIPE = BackendRecipe(
    name="macaw",
    hardware="macaw",
    engines=("no-such-engine", "parrot"),
    launch_plan=EngineLaunchPlan(
        hardware="macaw",
        environment={"MACAW_VISIBLE": "1"},
        required_modules=("parrot_engine",),
        refusals=({"setting": "dtype", "value": "bf16", "reason": "macaws have no bf16"},),
        install_hint="pip install macaw",
    ),
)
ORPHAN_RECIPE = RECIPE.model_copy(update={"name": "dodo", "engines": ("dodo-engine",)})
