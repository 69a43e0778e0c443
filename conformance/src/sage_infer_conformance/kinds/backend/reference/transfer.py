"""KV on its way to another process: a file of whole blocks, and a receipt that is checked against it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlparse

from sage_infer_contracts.errors import CapacityExceeded, IntegrityError, InvalidRequest, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.states import DecodeState, KVExport

from .pool import Pool
from .sequence import Sequence, sequence_of


def path_of(location: str) -> Path:
    """Return the file that ``location`` names."""
    parts = urlparse(location)
    if parts.scheme == "shm":
        raise Unsupported("the reference backend exports KV to files only", param="location")
    if parts.scheme != "file" or parts.netloc or not parts.path:
        raise InvalidRequest(f"{location!r} is not file:///PATH", param="location")
    return Path(unquote(parts.path))


def export(pool: Pool, sequence: Sequence, location: str) -> KVExport:
    """Write the blocks of ``sequence``. The KV of its last token is not computed yet and so not in them."""
    data = pool.dump(sequence.table, sequence.computed)
    try:
        path_of(location).write_bytes(data)
    except OSError as error:
        raise InvalidRequest(f"cannot write to {location}: {error}", param="location") from error
    return receipt(pool.schema, data, sequence.computed, location)


def receipt(schema: KVCacheSchema, data: bytes, tokens: int, location: str) -> KVExport:
    """Describe ``data``, the KV of ``tokens`` tokens."""
    return KVExport(
        location=location,
        schema_fingerprint=schema.fingerprint(),
        num_tokens=tokens,
        num_bytes=len(data),
        checksum=f"sha256:{hashlib.sha256(data).hexdigest()}",
    )


def read(pool: Pool, exported: KVExport, state: DecodeState) -> bytes:
    """Return the bytes behind ``exported``; raises ``IntegrityError`` when anything disagrees."""
    try:
        data = path_of(exported.location).read_bytes()
    except OSError as error:
        raise IntegrityError(f"cannot read {exported.location}: {error}") from error
    expected = receipt(pool.schema, data, exported.num_tokens, exported.location)
    if expected != exported:
        raise IntegrityError(f"{exported.location} is not what was exported, or not for this model's KV")
    tokens = len(state.prompt_token_ids) + len(state.output_token_ids)
    if (
        exported.num_tokens != tokens - 1
        or len(data) != pool.blocks_for(tokens - 1) * pool.schema.block_bytes
    ):
        raise IntegrityError(
            f"KV of {exported.num_tokens} tokens does not belong to a state of {tokens} tokens"
        )
    return data


def restore(pool: Pool, exported: KVExport, state: DecodeState, max_sequence_length: int) -> Sequence:
    """Return the sequence of ``state`` with its KV in blocks of ``pool``; nothing is held after an error."""
    data = read(pool, exported, state)
    sequence = sequence_of(state, max_sequence_length)
    for _ in range(pool.blocks_for(len(sequence.tokens))):
        block = pool.append()
        if block is None:
            pool.release(sequence.table)
            raise CapacityExceeded("no KV blocks are free for the import; try again later")
        sequence.table.append(block)
    pool.load(sequence.table, data)
    sequence.computed = exported.num_tokens
    return sequence
