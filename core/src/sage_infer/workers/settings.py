"""Deadlines and bounds of a worker. Every wait has one."""

from __future__ import annotations

import attrs


@attrs.frozen(slots=True, kw_only=True)
class WorkerSettings:
    """Times in seconds. Streaming itself has no deadline: a worker's death or a cancel ends a stream."""

    start_timeout_s: float = 900.0
    """Loading a model: interpreter start, imports, weights, first allocation."""
    request_timeout_s: float = 600.0
    """Calls whose work grows with their input: accepting prompts, prefill, embedding, tokenising."""
    control_timeout_s: float = 15.0
    """Calls that must answer while the engine is busy: health, stats, cancel, release."""
    close_timeout_s: float = 15.0
    """How long the backend may take to close before the process is told to end."""
    terminate_timeout_s: float = 5.0
    """How long SIGTERM may take before SIGKILL, and SIGKILL before giving up."""
    stderr_lines: int = 40
    """Last lines of the worker's output kept for error messages."""


# Of a backend that failed while its worker lives. Both processes count on them, so nobody sets them.
FAILED_STATUS = 70
"""Exit status of a worker whose backend failed."""
FAILED_FLUSH_S = 0.5
"""How long answers and streams that the failing backend is ending itself may take to reach the host."""
FAILED_CLOSE_TIMEOUT_S = 5.0
"""How long a failed backend may take to close; what it leaves behind dies with the process group."""
