"""Telemetry: a registry of its own, logs one can parse, traces only when they can be had."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import REGISTRY

from sage_infer.common.logs import ForwardingHandler, build_logger
from sage_infer.common.metrics import ServingMetrics
from sage_infer.common.telemetry import Telemetry, TelemetrySettings
from sage_infer.common.tracing import NoTracing, OpenTelemetryTracing
from sage_infer.control_plane.metrics_collector import SequenceTimer
from sage_infer.control_plane.types import RequestMetadata, RequestType
from sage_infer_contracts.errors import Unsupported
from sage_infer_contracts.streams import TokenDelta, Usage


def sample(metrics: ServingMetrics, name: str, **labels: str) -> float | None:
    value: float | None = metrics.registry.get_sample_value(f"sage:{name}", {"model_name": "m", **labels})
    return value


def timer(telemetry: Telemetry) -> SequenceTimer:
    return SequenceTimer(
        telemetry, RequestMetadata("r", "m", RequestType.LLM_CHAT, arrival_s=10.0, prompt_tokens=4)
    )


def token(*ids: int) -> TokenDelta:
    return TokenDelta(ids, "x")


def test_moments_become_the_observations_that_vllm_means() -> None:
    telemetry = Telemetry()
    sequence = timer(telemetry)
    sequence.scheduled(11.0)
    sequence.delta(TokenDelta((), ""), 11.5)  # held-back text is no output
    sequence.delta(token(1), 13.0)
    sequence.delta(token(2), 14.0)
    sequence.delta(token(3, 4), 16.0)
    sequence.finished("length", Usage(4, 4, 1, 3), 16.0)
    sequence.finished("length", Usage(4, 4, 1, 3), 17.0)
    sequence.failed("late", 18.0)
    metrics = telemetry.metrics
    assert sample(metrics, "request_queue_time_seconds_sum") == 1.0
    assert sample(metrics, "time_to_first_token_seconds_sum") == 3.0
    assert sample(metrics, "inter_token_latency_seconds_count") == 2
    assert sample(metrics, "inter_token_latency_seconds_sum") == 3.0
    assert sample(metrics, "request_time_per_output_token_seconds_sum") == 1.0
    assert sample(metrics, "e2e_request_latency_seconds_sum") == 6.0
    assert sample(metrics, "generation_tokens_total") == 4
    assert sample(metrics, "prompt_tokens_total") == 4
    assert sample(metrics, "prompt_tokens_computed_total") == 1
    assert sample(metrics, "prompt_tokens_reused_total") == 3
    assert sample(metrics, "request_success_total", finished_reason="length") == 1
    assert sample(metrics, "request_errors_total", kind="late") is None


def test_one_token_has_no_time_per_output_token() -> None:
    telemetry = Telemetry()
    sequence = timer(telemetry)
    sequence.delta(token(1), 11.0)
    sequence.finished("eos", None, 11.0)
    assert sample(telemetry.metrics, "request_time_per_output_token_seconds_count") is None
    assert sample(telemetry.metrics, "request_success_total", finished_reason="stop") == 1


def test_two_servers_in_one_process_do_not_share_metrics() -> None:
    one, other = Telemetry(), Telemetry()
    one.metrics.prompt_tokens.labels("m").inc()
    assert sample(other.metrics, "prompt_tokens_total") is None
    assert not any(name.startswith("sage:") for name in REGISTRY._names_to_collectors)


def test_json_logs_are_one_object_a_line_and_exceptions_fit_in_it() -> None:
    stream = io.StringIO()
    log = build_logger(log_format="json", level="info", stream=stream)
    log.debug("hidden")
    log.info("shown", model="m")
    try:
        raise ValueError("broken\nin two lines")
    except ValueError as error:
        log.error("failed", exc_info=error)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["model"]) == ("shown", "info", "m")
    assert "broken\nin two lines" in second["exception"]


def test_console_logs_and_library_logs_end_in_the_same_place() -> None:
    stream = io.StringIO()
    handler = ForwardingHandler(build_logger(level="warning", stream=stream))
    library = logging.getLogger("test_telemetry.library")
    library.propagate = False
    library.addHandler(handler)
    library.warning("from %s", "a library")
    library.removeHandler(handler)
    assert "from a library" in stream.getvalue()
    assert "test_telemetry.library" in stream.getvalue()


def test_tracing_without_its_packages_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    settings = TelemetrySettings(log_format="json", otel_endpoint="http://127.0.0.1:4318/v1/traces")
    with pytest.raises(Unsupported, match=r"pip install 'sage-infer\[otel\]'"):
        Telemetry.from_settings(settings)
    plain = Telemetry.from_settings(TelemetrySettings())
    assert isinstance(plain.tracing, NoTracing)
    plain.close()


def test_spans_carry_the_request_and_its_error() -> None:
    memory: Any = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    exporter = memory.InMemorySpanExporter()
    telemetry = Telemetry(tracing=OpenTelemetryTracing(exporter))
    good, bad = timer(telemetry), timer(telemetry)
    good.delta(token(1), 10.5)
    good.finished("eos", None, 12.0)
    bad.failed("backend_unavailable", 11.0)
    telemetry.tracing._provider.force_flush()  # type: ignore[attr-defined]
    one, two = exporter.get_finished_spans()
    telemetry.close()
    assert one.name == "llm_chat"
    assert one.end_time - one.start_time == 2_000_000_000
    assert one.attributes["gen_ai.request.model"] == "m"
    assert one.attributes["gen_ai.usage.input_tokens"] == 4
    assert one.attributes["gen_ai.usage.output_tokens"] == 1
    assert one.attributes["sage.time_to_first_token_s"] == 0.5
    assert one.status.is_ok
    assert two.status.description == "backend_unavailable"


def test_observers_hear_of_each_ended_request_and_a_raising_one_is_dropped() -> None:
    heard: list[tuple[str, object]] = []

    def broken(event: str, fields: object) -> None:
        raise RuntimeError("observer")

    def listening(event: str, fields: Mapping[str, object]) -> None:
        heard.append((event, fields["finished_reason"] or fields["error"]))

    telemetry = Telemetry(observers=[broken, listening])
    timer(telemetry).finished("length", None, 16.0)
    timer(telemetry).failed("backend_unavailable", 16.0)
    assert heard == [("request_ended", "length"), ("request_ended", "backend_unavailable")]
    assert telemetry.observers == [listening]
