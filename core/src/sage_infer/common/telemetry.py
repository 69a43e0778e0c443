"""Telemetry in one place: metrics, structured logs and optional traces, created once and passed down."""

from __future__ import annotations

from typing import Self

import attrs
from structlog.typing import FilteringBoundLogger

from .logs import LogFormat, LogLevel, build_logger
from .metrics import ServingMetrics
from .tracing import NoTracing, Tracing, open_tracing


@attrs.frozen(kw_only=True)
class TelemetrySettings:
    """``otel_endpoint`` is an OTLP/HTTP traces URL; None means no tracing."""

    log_format: LogFormat = "console"
    log_level: LogLevel = "warning"
    otel_endpoint: str | None = None


@attrs.frozen(kw_only=True)
class Telemetry:
    """What every part of the serving path reports to. Nothing in it is process-global."""

    metrics: ServingMetrics = attrs.field(factory=ServingMetrics)
    log: FilteringBoundLogger = attrs.field(factory=build_logger)
    tracing: Tracing = attrs.field(factory=NoTracing)

    @classmethod
    def from_settings(cls, settings: TelemetrySettings) -> Self:
        """Build telemetry as configured; raises ``Unsupported`` when tracing cannot be had."""
        return cls(
            log=build_logger(log_format=settings.log_format, level=settings.log_level),
            tracing=open_tracing(settings.otel_endpoint),
        )

    def close(self) -> None:
        """Flush traces; the rest holds nothing open."""
        self.tracing.close()
