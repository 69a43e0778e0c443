"""Prometheus metrics of the serving path, in a registry of their own.

Names and meanings follow vLLM's with the prefix ``sage:``, so that its dashboards carry over. As there, a
"request" is one sequence: a completion call with three prompts counts three times.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PREFIX = "sage:"
_MODEL = ("model_name",)
# Bucket bounds in seconds: powers and halves from a millisecond (a cached first token on an accelerator) up to
# the hours a batch job may queue, so that one set serves a laptop and a cluster.
_FIRST_TOKEN_S = (
    0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 2000.0,
)  # fmt: skip
_TOKEN_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 50.0)
_REQUEST_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 7200.0)


class ServingMetrics:
    """Every metric of the serving path. Times are in seconds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self.time_to_first_token = self._histogram(
            "time_to_first_token_seconds", "From arrival to the first token", _FIRST_TOKEN_S
        )
        self.inter_token_latency = self._histogram(
            "inter_token_latency_seconds", "Between successive outputs of one sequence", _TOKEN_S
        )
        self.time_per_output_token = self._histogram(
            "request_time_per_output_token_seconds",
            "Per request: time from first to last token over the tokens after the first",
            _TOKEN_S,
        )
        self.e2e_latency = self._histogram(
            "e2e_request_latency_seconds", "From arrival to the end of the request", _REQUEST_S
        )
        self.queue_time = self._histogram(
            "request_queue_time_seconds", "From arrival until handed to an instance", _REQUEST_S
        )
        self.prompt_tokens = self._counter("prompt_tokens", "Prompt tokens of ended requests")
        self.prompt_tokens_computed = self._counter(
            "prompt_tokens_computed", "Prompt tokens whose KV was computed"
        )
        self.prompt_tokens_reused = self._counter(
            "prompt_tokens_reused", "Prompt tokens whose KV was reused and not computed"
        )
        self.generation_tokens = self._counter("generation_tokens", "Tokens generated")
        self.request_success = self._counter(
            "request_success", "Requests that ended without an error", "finished_reason"
        )
        self.request_errors = self._counter(
            "request_errors", "Requests refused or failed; no model name when none was reached", "kind"
        )
        self.requests_running = self._gauge("num_requests_running", "Requests in execution on the engines")
        self.requests_waiting = self._gauge(
            "num_requests_waiting", "Requests waiting, in the control plane and in the engines"
        )
        self.kv_cache_usage = self._gauge(
            "kv_cache_usage_perc", "Share of KV blocks held by requests; 1 means 100 percent"
        )

    def render(self) -> bytes:
        """Return the Prometheus text exposition."""
        return generate_latest(self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(PREFIX + name, text, _MODEL, buckets=buckets, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(PREFIX + name, text, (*_MODEL, *labels), registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(PREFIX + name, text, _MODEL, registry=self.registry)
