"""What the monitoring endpoints show, read when they are asked."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from prometheus_client import Gauge

from sage_infer_contracts.backend import BackendStats, InferenceBackend

from ..common.metrics import ServingMetrics
from .pool import ModelPool


async def refresh_gauges(metrics: ServingMetrics, pools: Sequence[ModelPool[InferenceBackend]]) -> None:
    """Set the gauges from the backends' own figures.

    A model with an instance that gives none has no running and usage sample: absent is not zero.
    """
    await asyncio.gather(*(_refresh_model(metrics, pool) for pool in pools))


async def _refresh_model(metrics: ServingMetrics, pool: ModelPool[InferenceBackend]) -> None:
    answers = await asyncio.gather(*(pool.stats(slot) for slot in pool.slots))
    known = [stats for stats in answers if stats is not None]
    complete = len(known) == len(answers) and bool(known)
    model = pool.model_id
    waiting = len(pool.queue) + sum(stats.waiting for stats in known)
    metrics.requests_waiting.labels(model).set(waiting)
    _set(metrics.requests_running, model, sum(stats.running for stats in known) if complete else None)
    _set(metrics.kv_cache_usage, model, _usage(known) if complete else None)


def forget_model(metrics: ServingMetrics, model_id: str) -> None:
    """Drop the gauges of a model that was unregistered; its counters stay."""
    for gauge in (metrics.requests_running, metrics.requests_waiting, metrics.kv_cache_usage):
        _set(gauge, model_id, None)


def _usage(known: Sequence[BackendStats]) -> float | None:
    total = sum(stats.blocks_total for stats in known)
    return sum(stats.blocks_held for stats in known) / total if total else None


def _set(gauge: Gauge, model: str, value: float | None) -> None:
    if value is not None:
        gauge.labels(model).set(value)
        return
    try:
        gauge.remove(model)
    except KeyError:  # it had no sample
        return
