"""KV outside the engine: whole blocks in a file or in shared memory, and the receipt they are checked against.

The bytes are those of the pool: for each layer the K pages and then the V pages of the blocks, in the order of the
sequence. Positions of the last block that hold no token are zero, whoever used the block before.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlparse

from sage_infer_contracts.errors import CapacityExceeded, IntegrityError, InvalidRequest, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.states import KVExport

SHARED_MEMORY = Path("/dev/shm")


def path_of(location: str) -> Path:
    """Return the file behind ``file:///PATH`` or ``shm://NAME``.

    Raises ``InvalidRequest`` for anything else, ``Unsupported`` where shared memory has no folder.
    """
    parts = urlparse(location)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return Path(unquote(parts.path))
    if parts.scheme != "shm" or parts.path or not parts.netloc or parts.netloc in (".", ".."):
        raise InvalidRequest(
            f"{location!r} names no place for KV; give file:///PATH or shm://NAME", param="location"
        )
    if not SHARED_MEMORY.is_dir():
        raise Unsupported(
            f"shared memory by name is Linux's {SHARED_MEMORY}, which is not here; use file:///PATH",
            param="location",
        )
    return SHARED_MEMORY / parts.netloc


def write(location: str, data: memoryview, *, schema: KVCacheSchema, token_ids: Sequence[int]) -> KVExport:
    """Write ``data``, the KV of ``token_ids``, to a new file; what could not be written whole is removed.

    Raises ``InvalidRequest`` for a place that is taken or cannot be written to, ``CapacityExceeded`` for a full one.
    """
    path = path_of(location)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InvalidRequest(f"KV cannot be written to {location}: {error}", param="location") from error
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
    except OSError as error:
        path.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CapacityExceeded(f"{location} has no room for {data.nbytes} bytes of KV") from error
        raise InvalidRequest(f"KV cannot be written to {location}: {error}", param="location") from error
    return KVExport(
        location=location,
        schema_fingerprint=schema.fingerprint(),
        num_tokens=len(token_ids),
        num_bytes=data.nbytes,
        checksum=_sha256(data),
        token_digest=_token_digest(token_ids),
    )


def read(export: KVExport, *, schema: KVCacheSchema, token_ids: Sequence[int]) -> bytearray:
    """Return the bytes behind ``export``, the KV of ``token_ids``.

    Raises ``IntegrityError`` when the receipt is for other tokens or another schema, or the bytes differ from it.
    """
    if export.num_tokens != len(token_ids) or export.token_digest not in (None, _token_digest(token_ids)):
        raise IntegrityError(
            f"{export.location} has KV of {export.num_tokens} tokens that are not the {len(token_ids)} of the state"
        )
    if export.schema_fingerprint != schema.fingerprint():
        raise IntegrityError(
            f"{export.location} holds KV of another schema; exporter and importer need equal KV schemas"
        )
    blocks = -(-export.num_tokens // schema.page_size)
    if export.num_bytes != blocks * schema.block_bytes:
        raise IntegrityError(
            f"{export.location}: {export.num_tokens} tokens are {blocks * schema.block_bytes} bytes of this schema, "
            f"and the receipt says {export.num_bytes}"
        )
    path = path_of(export.location)
    try:
        if path.stat().st_size != export.num_bytes:
            raise IntegrityError(f"{export.location} is not the {export.num_bytes} bytes of its receipt")
        data = bytearray(path.read_bytes())
    except OSError as error:
        raise IntegrityError(f"{export.location} cannot be read: {error}") from error
    if _sha256(data) != export.checksum:
        raise IntegrityError(f"{export.location} is not what was exported: its checksum differs")
    return data


def remove(location: str) -> None:
    """Remove what :func:`write` wrote."""
    path_of(location).unlink(missing_ok=True)


def _token_digest(token_ids: Sequence[int]) -> str:
    return _sha256(struct.pack(f"<{len(token_ids)}q", *token_ids))


def _sha256(data: bytes | bytearray | memoryview) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
