"""Structured logs: one event a line, JSON or for people, on standard error."""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO, cast

import structlog
from structlog.typing import FilteringBoundLogger, Processor

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def build_logger(
    *, log_format: LogFormat = "console", level: LogLevel = "warning", stream: TextIO | None = None
) -> FilteringBoundLogger:
    """Return a logger of its own: the process-wide structlog configuration is neither read nor changed."""
    target = sys.stderr if stream is None else stream
    renderer: Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=target.isatty())
    )
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *([structlog.processors.format_exc_info] if log_format == "json" else []),
        renderer,
    ]
    logger = structlog.wrap_logger(
        structlog.WriteLogger(target),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
    )
    return cast("FilteringBoundLogger", logger)


class ForwardingHandler(logging.Handler):
    """Passes records of standard-library loggers (uvicorn's) on to a structured logger."""

    def __init__(self, logger: FilteringBoundLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Log ``record`` as one event with its logger's name."""
        self._logger.log(
            record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None
        )
