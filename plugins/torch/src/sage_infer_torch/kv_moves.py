"""Moving a parked sequence out of an engine and into one: checked, and either whole or not at all."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.states import DecodeState, KVExport

from . import kv_files
from .engine import Engine
from .requests import restored_sequence

if TYPE_CHECKING:
    import torch


async def export_kv(engine: Engine, files: Executor, state: DecodeState, location: str) -> KVExport:
    """Write the KV of ``state`` on ``files``, and only then end its lease and free its blocks."""
    kv_files.path_of(location)
    sequence = engine.leases.look(state)
    token_ids = sequence.token_ids[: sequence.num_computed]
    data = await engine.ask(lambda core: core.dump(sequence))
    writing = asyncio.get_running_loop().run_in_executor(
        files,
        partial(
            kv_files.write, location, memoryview(data.numpy()), schema=engine.schema, token_ids=token_ids
        ),
    )
    try:
        export = await asyncio.shield(writing)
    except asyncio.CancelledError:
        writing.add_done_callback(lambda done: _remove_unwanted(done, location))
        raise
    try:
        engine.leases.take(state)
    except InvalidRequest:
        kv_files.remove(location)  # it was decoded, cancelled or given up meanwhile
        raise
    await engine.discard([sequence])
    return export


async def import_kv(engine: Engine, files: Executor, export: KVExport, state: DecodeState) -> DecodeState:
    """Read and check what was exported, and hold it under a lease of this engine; nothing is held after an error."""
    sequence = restored_sequence(state, limits=engine.limits, decode=engine.decode)
    # The KV of the last token is computed when it is decoded.
    data = await asyncio.get_running_loop().run_in_executor(
        files, partial(kv_files.read, export, schema=engine.schema, token_ids=sequence.token_ids[:-1])
    )
    try:
        await engine.ask(lambda core: core.load(sequence, _tensor(data), export.num_tokens))
    except BaseException:
        engine.forget([sequence])
        raise
    if export.location.startswith("shm:"):
        kv_files.remove(export.location)
    return state.model_copy(update={"kv": engine.leases.grant(sequence)})


def _tensor(data: bytearray) -> torch.Tensor:
    import torch

    return torch.frombuffer(data, dtype=torch.uint8)


def _remove_unwanted(done: asyncio.Future[KVExport], location: str) -> None:
    if not done.cancelled() and done.exception() is None:
        kv_files.remove(location)
