"""States between prefill and decode: kept by name, used, forged, expired, moved to another process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
import uuid
from pathlib import Path
from urllib.parse import unquote, urlparse

import attrs

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.errors import SageInferError
from sage_infer_contracts.states import DecodeState, KVExport, PrefillResult
from sage_infer_contracts.streams import TokenDelta, TokenStream

from .findings import Delta, Outcome, Part, Usage
from .waiting import STALL_S, within

LEASE_GRACE_S = 5.0
"""How long after the end of a lease its blocks may stay away."""
_LONGEST_LEASE_S = 150.0


@attrs.frozen(slots=True)
class Parked:
    """A state, and the delta that came with it."""

    state: DecodeState
    first: TokenDelta


def keep(result: PrefillResult) -> dict[str, Parked]:
    """Return the states of a prefill by name."""
    return {
        f"{result.request_id}/{index}": Parked(one.state, one.first)
        for index, one in enumerate(result.sequences)
        if one.state is not None
    }


def forge(state: DecodeState, part: Part | None) -> DecodeState:
    """Return ``state`` with one part that is not true."""
    handle, tokens = state.kv, state.prompt_token_ids
    if part == "instance":
        return state.model_copy(update={"kv": handle.model_copy(update={"instance": uuid.uuid4().hex})})
    if part == "generation":
        return state.model_copy(
            update={"kv": handle.model_copy(update={"generation": handle.generation + 1})}
        )
    if part == "lease":
        return state.model_copy(update={"kv": handle.model_copy(update={"lease": uuid.uuid4().hex})})
    if part == "prompt":
        return state.model_copy(update={"prompt_token_ids": (*tokens[:-1], tokens[-1] ^ 1)})
    if part == "output":
        output = state.output_token_ids
        return state.model_copy(update={"output_token_ids": (*output[:-1], output[-1] ^ 1)})
    if part == "params":
        params = state.params.model_copy(update={"max_tokens": (state.params.max_tokens or 16) + 7})
        return state.model_copy(update={"params": params})
    return state


async def collect(stream: TokenStream) -> list[TokenDelta]:
    """Return every delta of a stream; each must come within :data:`STALL_S`."""
    loop = asyncio.get_running_loop()
    deltas: list[TokenDelta] = []
    async with asyncio.timeout(STALL_S) as limit:
        async for delta in stream:
            deltas.append(delta)
            limit.reschedule(loop.time() + STALL_S)
    return deltas


def outcome_of(
    name: str, state: DecodeState, deltas: list[TokenDelta], decoded: tuple[str, ...] = ()
) -> Outcome:
    """Return the whole output of a state: its first delta and those of decode."""
    last = deltas[-1]
    usage = last.usage
    return Outcome(
        call=name,
        stream=name,
        prompt_ids=state.prompt_token_ids,
        deltas=tuple(Delta(tokens=tuple(d.token_ids), text=d.text, last=d.finish_reason is not None) for d in deltas),
        finish=last.finish_reason,
        stop=last.stop_reason,
        usage=None if usage is None else Usage(
            prompt=usage.prompt_tokens, completion=usage.completion_tokens,
            computed=usage.computed_prompt_tokens, reused=usage.reused_prompt_tokens,
        ),
        decoded=decoded,
        began=True,
    )  # fmt: skip


async def await_expiry(
    backend: InferenceBackend, state: DecodeState, lease_s: float | None, held: int
) -> None:
    """Wait until the lease of ``state`` is over, and then until no more than ``held`` blocks are held, or a while."""
    ends = state.kv.lease_expires_at_s
    left = None if ends is None else ends - time.monotonic()
    if left is None or not 0 <= left <= _LONGEST_LEASE_S:
        left = lease_s if lease_s is not None else _LONGEST_LEASE_S
    over = time.monotonic() + left
    while time.monotonic() < over + LEASE_GRACE_S:
        if (await backend.stats()).blocks_held <= held:
            break
        await asyncio.sleep(0.02)
    await asyncio.sleep(max(0.0, over + 0.05 - time.monotonic()))


@attrs.frozen(slots=True)
class Exported:
    """What was written, beside what the receipt says of it."""

    export: KVExport
    bytes_written: int
    checksum_right: bool
    schema_right: bool


async def export(backend: InferenceBackend, state: DecodeState, folder: Path) -> Exported:
    """Export ``state`` to a file and look at it; give the state back if it is still there."""
    found = await within(backend.export_kv(state, (folder / "kv.bin").as_uri()))
    with contextlib.suppress(SageInferError):  # the export may have taken it along
        await backend.release(state)
    data = path_of(found).read_bytes()
    algorithm, _, digest = found.checksum.partition(":")
    known = algorithm in hashlib.algorithms_available
    right = not known or hashlib.new(algorithm, data, usedforsecurity=False).hexdigest() == digest
    return Exported(
        found, len(data), right, found.schema_fingerprint == backend.get_kv_schema().fingerprint()
    )


def path_of(found: KVExport) -> Path:
    """Return the file of an export."""
    return Path(unquote(urlparse(found.location).path))


def damage(found: KVExport, how: str) -> KVExport:
    """Damage the file, or the receipt; return the receipt to import with."""
    path = path_of(found)
    if how == "schema":
        return found.model_copy(update={"schema_fingerprint": "0" * 64})
    data = bytearray(path.read_bytes())
    if how == "short":
        del data[-1:]
    else:
        data[len(data) // 3] ^= 0x40
    path.write_bytes(bytes(data))
    return found
