"""Counters of one engine, kept from what vLLM reports about each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sage_infer_contracts.backend import BackendStats


class StepCounters:
    """A stat logger of vLLM's (same methods), used on the event loop. Sums grow, gauges are as of the last step.

    vLLM calls the class with its configuration, so :meth:`factory` hands out a function that returns this object.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start from zero, after what the adapter itself tried out."""
        self._computed = self._reused = self._generated = 0
        self._preemptions = self._steps = 0
        self._running = self._waiting = 0
        self._usage = 0.0

    def factory(self) -> Callable[..., StepCounters]:
        """Return what vLLM takes as the factory of a stat logger."""
        return lambda _config, _engine_index=0: self

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        """Take one step's figures; called by vLLM once per step."""
        if scheduler_stats is not None:
            self._steps += 1
            self._running = scheduler_stats.num_running_reqs
            self._waiting = scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs
            self._usage = scheduler_stats.kv_cache_usage
        if iteration_stats is not None:
            prompt = iteration_stats.prompt_token_stats
            self._computed += prompt.computed
            self._reused += prompt.cached_tokens
            self._generated += iteration_stats.num_generation_tokens
            self._preemptions += iteration_stats.num_preempted_reqs

    def stats(self, blocks_total: int) -> BackendStats:
        """Return the counters and gauges of a pool of ``blocks_total`` blocks."""
        held = round(self._usage * blocks_total)
        return BackendStats(
            computed_tokens=self._computed,
            reused_tokens=self._reused,
            generated_tokens=self._generated,
            running=self._running,
            waiting=self._waiting,
            blocks_total=blocks_total,
            blocks_held=held,
            blocks_free=blocks_total - held,
            preemptions=self._preemptions,
            steps=self._steps,
        )

    def log_engine_initialized(self) -> None:
        """Part of vLLM's interface; there is nothing to say."""

    def log(self) -> None:
        """Part of vLLM's interface; nothing is written."""

    def record_sleep_state(self, is_awake: int, level: int) -> None:
        """Part of vLLM's interface; the adapter does not put engines to sleep."""
