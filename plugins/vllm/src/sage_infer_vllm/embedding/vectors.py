"""Vectors from a running engine: at most so many texts of a call in it at once, and none left behind."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Sequence

from sage_infer_contracts.errors import BackendUnavailable, IntegrityError, InvalidRequest

from ..engine import Engine
from ..errors import request_error

TASK = "embed"
"""vLLM's name for one vector per text."""


class Vectors:
    """Asks one engine for vectors. Belongs to the event loop that started the engine."""

    def __init__(self, engine: Engine, *, normalize: bool) -> None:
        self._engine = engine
        self._normalize = normalize
        self._vocabulary: int = engine.llm.model_config.get_vocab_size()

    def check(self, prompts: Sequence[Sequence[int]]) -> None:
        """Raise ``InvalidRequest`` for a text without tokens, or with tokens the model has no vectors for."""
        for number, ids in enumerate(prompts):
            if not ids:
                raise InvalidRequest(
                    f"texts[{number}] has no tokens, so there is no vector of it", param=f"texts[{number}]"
                )
            if max(ids) >= self._vocabulary:
                raise InvalidRequest(
                    f"texts[{number}] has token {max(ids)}, and the model's vocabulary ends at {self._vocabulary}",
                    param=f"texts[{number}]",
                )

    async def of(self, prompts: Sequence[Sequence[int]], at_once: int) -> list[list[float]]:
        """Return the vectors of ``prompts``, in order, with at most ``at_once`` of them in the engine.

        When one fails or the caller is cancelled, the others are out of the engine before this raises.
        """
        vectors: list[list[float]] = [[] for _ in prompts]
        pending = iter(enumerate(prompts))

        async def work() -> None:
            for index, ids in pending:
                vectors[index] = await self._one(ids)

        workers = [asyncio.ensure_future(work()) for _ in range(min(at_once, len(prompts)))]
        try:
            await asyncio.gather(*workers)
        except BaseException:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
            raise
        return vectors

    async def _one(self, ids: Sequence[int]) -> list[float]:
        from vllm.inputs.engine import tokens_input
        from vllm.pooling_params import PoolingParams

        llm = self._engine.llm
        name = uuid.uuid4().hex
        params = PoolingParams(task=TASK, use_activation=self._normalize)
        try:
            outputs = [output async for output in llm.encode(tokens_input(list(ids)), params, name)]
        except asyncio.CancelledError:
            # encode aborts what it knows of; a request that was just being handed over it does not.
            if not self._engine.died:
                await llm.abort(name)
            raise
        except Exception as error:
            raise request_error(error) from error
        vector: list[float] = outputs[-1].outputs.data.float().tolist()
        if not vector:
            raise BackendUnavailable("the engine ended the request without a vector; its log says why")
        if not all(map(math.isfinite, vector)):
            raise IntegrityError("the model gave values that are not finite; try dtype fp32")
        return vector
