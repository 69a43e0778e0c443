"""Turns requests into queued jobs, after every check that needs no engine time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from sage_infer_contracts.backend import InferenceBackend
from sage_infer_contracts.embedding import EmbeddingBackend
from sage_infer_contracts.errors import DeadlineExceeded, InvalidRequest

from ..common.telemetry import Telemetry
from .active import ActiveRequest, ActiveRequests
from .embedding_job import EmbeddingJob
from .encoding import encode
from .generation_job import GenerationJob
from .metrics_collector import SequenceTimer
from .pool import ModelPool, Slot
from .request_classifier import classify
from .requests import EmbedRequest, GenerateRequest
from .streams import RequestStream
from .types import RequestMetadata

EMBED_BATCH_SIZE = 32
"""Most texts of one embedding request on the device at once, whatever the instance could take."""


class Admission:
    """Admits requests to pools and enters them in the table of active ones."""

    def __init__(self, telemetry: Telemetry, active: ActiveRequests, *, request_timeout_s: float) -> None:
        self._telemetry = telemetry
        self._active = active
        self._request_timeout_s = request_timeout_s

    async def generation(self, pool: ModelPool[InferenceBackend], request: GenerateRequest) -> RequestStream:
        """Check, tokenise and queue ``request``; queue places are taken before any work is done for it."""
        self._refuse_repeated(request.request_id)
        slot = pool.pick()
        _check_params(request, slot)
        arrival_s = asyncio.get_running_loop().time()
        places = len(request.prompts) or 1
        pool.reserve(places)
        try:
            prompts = await encode(slot.backend, request)
            self._refuse_repeated(request.request_id)
        except BaseException:
            pool.queue.release(places)
            raise
        active = ActiveRequest(request.request_id)
        stream = RequestStream(
            request.request_id,
            sequences=len(prompts) * request.params.n,
            prompt_tokens=sum(map(len, prompts)),
            on_cancel=active.cancel,
        )
        jobs = self._generation_jobs(request, prompts, arrival_s, stream, active)
        active.bind(jobs, cancel_job=pool.cancel, deliver_error=stream.fail)
        self._start(active, arrival_s, request.timeout_s)
        pool.enqueue(jobs)
        return stream

    def embedding(self, pool: ModelPool[EmbeddingBackend], request: EmbedRequest) -> EmbeddingJob:
        """Queue ``request``; its outcome comes out of the job's ``result``."""
        self._refuse_repeated(request.request_id)
        slot = pool.pick()
        pool.reserve(1)
        arrival_s = asyncio.get_running_loop().time()
        metadata = RequestMetadata(
            request_id=request.request_id,
            model_id=request.model_id,
            request_type=classify(request),
            arrival_s=arrival_s,
            client_request_id=request.client_request_id,
        )
        active = ActiveRequest(request.request_id)
        job = EmbeddingJob(
            metadata,
            SequenceTimer(self._telemetry, metadata),
            texts=request.texts,
            batch_size=min(EMBED_BATCH_SIZE, slot.instance.max_concurrency),
            timeout_s=request.timeout_s or self._request_timeout_s,
            on_end=partial(self._active.job_ended, active),
        )
        active.bind([job], cancel_job=pool.cancel, deliver_error=job.deliver_error)
        self._start(active, arrival_s, request.timeout_s)
        pool.enqueue([job])
        return job

    def _generation_jobs(
        self,
        request: GenerateRequest,
        prompts: Sequence[Sequence[int]],
        arrival_s: float,
        stream: RequestStream,
        active: ActiveRequest,
    ) -> list[GenerationJob]:
        n = request.params.n
        jobs = []
        for index, prompt in enumerate(prompts):
            metadata = RequestMetadata(
                request_id=request.request_id if len(prompts) == 1 else f"{request.request_id}-{index}",
                model_id=request.model_id,
                request_type=classify(request),
                arrival_s=arrival_s,
                prompt_tokens=len(prompt),
                kv_cache_size_tokens=len(prompt),
                slo_ms=request.slo_ms,
                client_request_id=request.client_request_id,
            )
            jobs.append(
                GenerationJob(
                    metadata,
                    [SequenceTimer(self._telemetry, metadata) for _ in range(n)],
                    prompt=prompt,
                    params=request.params,
                    stream=stream,
                    first_index=index * n,
                    on_end=partial(self._active.job_ended, active),
                    on_failure=active.cancel,
                )
            )
        return jobs

    def _start(self, active: ActiveRequest, arrival_s: float, timeout_s: float | None) -> None:
        bound_s = self._request_timeout_s if timeout_s is None else timeout_s
        error = DeadlineExceeded(f"request {active.request_id} did not end within {bound_s:g} s")
        self._active.add(active)
        active.timer = asyncio.get_running_loop().call_at(arrival_s + bound_s, active.fail, error)

    def _refuse_repeated(self, request_id: str) -> None:
        if request_id in self._active:
            raise InvalidRequest(
                f"request id {request_id!r} belongs to a request under way", param="request_id"
            )


def _check_params(request: GenerateRequest, slot: Slot[InferenceBackend]) -> None:
    request.params.require(slot.backend.capabilities)
    if request.params.n > slot.instance.max_concurrency:
        raise InvalidRequest(
            f"n is {request.params.n}; this instance runs at most {slot.instance.max_concurrency} sequences at once",
            param="n",
        )
