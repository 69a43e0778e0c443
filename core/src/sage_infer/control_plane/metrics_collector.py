"""From the moments of a sequence to observations, with vLLM's meanings."""

from __future__ import annotations

import time

from sage_infer_contracts.streams import TokenDelta, Usage

from ..common.telemetry import Telemetry
from .types import RequestMetadata

# vLLM's names for how a request ended.
_FINISHED_REASON = {
    "eos": "stop",
    "stop_string": "stop",
    "stop_token": "stop",
    "length": "length",
    "cancelled": "abort",
}


class SequenceTimer:
    """Moments of one sequence, turned into observations as they come. Times come from ``now_s``."""

    def __init__(self, telemetry: Telemetry, metadata: RequestMetadata) -> None:
        self._telemetry = telemetry
        self._metadata = metadata
        self._model = metadata.model_id
        self._arrival_ns = time.time_ns()
        self._first_token_s: float | None = None
        self._last_token_s: float | None = None
        self._tokens = 0
        self._ended = False
        # Looked up once: a label lookup takes a lock, and these two are met at every output.
        self._latency = telemetry.metrics.inter_token_latency.labels(self._model)
        self._generated = telemetry.metrics.generation_tokens.labels(self._model)

    def scheduled(self, now_s: float) -> None:
        """The sequence was handed to an instance."""
        waited_s = now_s - self._metadata.arrival_s
        self._telemetry.metrics.queue_time.labels(self._model).observe(waited_s)

    def delta(self, delta: TokenDelta, now_s: float) -> None:
        """An output arrived; one latency per output, whatever the number of tokens in it."""
        if not delta.token_ids:
            return
        if self._last_token_s is None:
            self._first_token_s = now_s
            ttft_s = now_s - self._metadata.arrival_s
            self._telemetry.metrics.time_to_first_token.labels(self._model).observe(ttft_s)
        else:
            latency_s = now_s - self._last_token_s
            self._latency.observe(latency_s)
        self._last_token_s = now_s
        self._tokens += len(delta.token_ids)
        self._generated.inc(len(delta.token_ids))

    def finished(self, finish_reason: str, usage: Usage | None, now_s: float) -> None:
        """The sequence ended without an error; a request of one token has no time per output token."""
        if self._ended:
            return
        metrics, model = self._telemetry.metrics, self._model
        reason = _FINISHED_REASON[finish_reason]
        metrics.request_success.labels(model, reason).inc()
        metrics.e2e_latency.labels(model).observe(now_s - self._metadata.arrival_s)
        if self._first_token_s is not None and self._last_token_s is not None and self._tokens > 1:
            per_token_s = (self._last_token_s - self._first_token_s) / (self._tokens - 1)
            metrics.time_per_output_token.labels(model).observe(per_token_s)
        if usage is not None:
            metrics.prompt_tokens.labels(model).inc(usage.prompt_tokens)
            metrics.prompt_tokens_computed.labels(model).inc(usage.computed_prompt_tokens)
            metrics.prompt_tokens_reused.labels(model).inc(usage.reused_prompt_tokens)
        self._end(reason, None, now_s)

    def failed(self, kind: str, now_s: float) -> None:
        """The sequence ended with an error of this kind."""
        if self._ended:
            return
        self._telemetry.metrics.request_errors.labels(self._model, kind).inc()
        self._end(None, kind, now_s)

    def _end(self, reason: str | None, error: str | None, now_s: float) -> None:
        self._ended = True
        metadata = self._metadata
        duration_ns = int((now_s - metadata.arrival_s) * 1e9)
        attributes: dict[str, str | int | float | bool] = {
            "gen_ai.request.model": metadata.model_id,
            "sage.request_id": metadata.request_id,
            "sage.request_type": metadata.request_type.value,
            "gen_ai.usage.output_tokens": self._tokens,
        }
        if metadata.prompt_tokens is not None:
            attributes["gen_ai.usage.input_tokens"] = metadata.prompt_tokens
        if self._first_token_s is not None:
            attributes["sage.time_to_first_token_s"] = self._first_token_s - metadata.arrival_s
        self._telemetry.tracing.record(
            metadata.request_type.value,
            start_ns=self._arrival_ns,
            end_ns=self._arrival_ns + duration_ns,
            attributes=attributes,
            error=error,
        )
        fields = {
            "request_id": metadata.request_id,
            "client_request_id": metadata.client_request_id,
            "model": metadata.model_id,
            "type": metadata.request_type.value,
            "finished_reason": reason,
            "error": error,
            "prompt_tokens": metadata.prompt_tokens,
            "generated_tokens": self._tokens,
            "duration_s": round(now_s - metadata.arrival_s, 6),
        }
        self._telemetry.emit("request_ended", fields)
