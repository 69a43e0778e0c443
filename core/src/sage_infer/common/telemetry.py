"""Telemetry in one place: metrics, structured logs and optional traces, created once and passed down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

import attrs
from structlog.typing import FilteringBoundLogger

from sage_infer_contracts.plugins import Observer

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
    observers: list[Observer] = attrs.field(factory=list)

    @classmethod
    def from_settings(cls, settings: TelemetrySettings, observers: Iterable[Observer] = ()) -> Self:
        """Build telemetry as configured; raises ``Unsupported`` when tracing cannot be had."""
        return cls(
            log=build_logger(log_format=settings.log_format, level=settings.log_level),
            tracing=open_tracing(settings.otel_endpoint),
            observers=list(observers),
        )

    def emit(self, event: str, fields: Mapping[str, object]) -> None:
        """Log an event and tell the observers; one that raises is reported once and told nothing more."""
        self.log.info(event, **fields)
        for observer in tuple(self.observers):
            try:
                observer(event, fields)
            except Exception as error:  # noqa: BLE001 - boundary: an observer is a plugin's code and must not fail a request
                self.observers.remove(observer)
                self.log.warning(
                    "observer_removed", observer=repr(observer), event_name=event, error=repr(error)
                )

    def close(self) -> None:
        """Flush traces; the rest holds nothing open."""
        self.tracing.close()
