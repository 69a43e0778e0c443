"""OpenTelemetry spans, one per sequence. The library is imported only when tracing is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from sage_infer_contracts.errors import Unsupported

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

SpanValue = str | int | float | bool


class Tracing(Protocol):
    """Where spans go."""

    def record(
        self, name: str, *, start_ns: int, end_ns: int, attributes: Mapping[str, SpanValue], error: str | None
    ) -> None:
        """Record one ended span; times are nanoseconds since the epoch."""
        ...

    def close(self) -> None:
        """Flush what is buffered, within a deadline."""
        ...


class NoTracing:
    """Tracing was not asked for: nothing is recorded."""

    def record(
        self, name: str, *, start_ns: int, end_ns: int, attributes: Mapping[str, SpanValue], error: str | None
    ) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class OpenTelemetryTracing:
    """Spans through the OpenTelemetry SDK, exported in batches off the event loop."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self._provider = TracerProvider(resource=Resource.create({"service.name": "sage-infer"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("sage_infer")

    def record(
        self, name: str, *, start_ns: int, end_ns: int, attributes: Mapping[str, SpanValue], error: str | None
    ) -> None:
        """Record one ended span."""
        from opentelemetry.trace import Status, StatusCode

        span = self._tracer.start_span(name, start_time=start_ns, attributes=dict(attributes))
        if error is not None:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(end_time=end_ns)

    def close(self) -> None:
        """Flush for at most 5 s and stop the exporter's thread."""
        self._provider.force_flush(timeout_millis=5000)
        self._provider.shutdown()


def open_tracing(endpoint: str | None) -> Tracing:
    """Return tracing to the OTLP/HTTP ``endpoint``, or none when it is None.

    Raises ``Unsupported`` when tracing is asked for and the packages are not installed.
    """
    if endpoint is None:
        return NoTracing()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise Unsupported(
            f"tracing to {endpoint} was asked for, but {error.name} is not installed; "
            "run: pip install 'sage-infer[otel]'"
        ) from error
    return OpenTelemetryTracing(OTLPSpanExporter(endpoint=endpoint))
