"""What vLLM's processes log while they start, so that a failure can name its cause.

The engine's processes report a failed start only as "see the root cause above". Every process of vLLM reads
the same logging configuration, so one more handler for errors, a file, is where the cause can be read.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CONFIG_VARIABLE = "VLLM_LOGGING_CONFIG_PATH"
_FORMAT = "%(levelname)s %(asctime)s pid=%(process)d [%(module)s:%(lineno)d] %(message)s"
_RAISED = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception)): (.+)$", re.MULTILINE)
MAX_CAUSE_CHARS = 600
_ERRORS = "errors.log"


class StartupLog:
    """The errors of one engine's processes. With a logging configuration of the user's own, nothing is recorded."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        if not os.environ.get(CONFIG_VARIABLE):
            self._folder = Path(tempfile.mkdtemp(prefix="sage-infer-vllm-"))

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Let processes that are started in the block log their errors here, for as long as they live."""
        if self._folder is None:
            yield
            return
        config = self._folder / "logging.json"
        config.write_text(json.dumps(_logging_config(self._folder / _ERRORS)))
        os.environ[CONFIG_VARIABLE] = str(config)
        try:
            yield
        finally:
            os.environ.pop(CONFIG_VARIABLE, None)

    def cause(self) -> str | None:
        """Return the first exception that was logged, as ``Type: message``; None if there is none."""
        if self._folder is None or not (self._folder / _ERRORS).exists():
            return None
        found = _RAISED.search((self._folder / _ERRORS).read_text(errors="replace"))
        return f"{found[1]}: {found[2]}"[:MAX_CAUSE_CHARS] if found else None

    def close(self) -> None:
        """Remove the files; the processes must have ended."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _logging_config(errors: Path) -> dict[str, Any]:
    level = os.environ.get("VLLM_LOGGING_LEVEL", "INFO").upper()
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": _FORMAT}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "plain", "level": level},
            "errors": {
                "class": "logging.FileHandler",
                "filename": str(errors),
                "formatter": "plain",
                "level": "ERROR",
                "delay": True,
            },
        },
        "loggers": {"vllm": {"handlers": ["console", "errors"], "level": level, "propagate": False}},
    }
