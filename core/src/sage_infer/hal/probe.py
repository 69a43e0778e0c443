"""LiveProbe: the contract's ``Probe`` over this machine."""

from __future__ import annotations

import json
import re
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from sage_infer_contracts.probe import CommandResult, PciDevice, Unknown

from .. import env
from . import bounded
from .pci import pci_devices

FILE_LIMIT_BYTES = 2**20
COMMAND_LIMIT_BYTES = 4 * 2**20
LIBRARY_TIMEOUT_S = 20.0
LIBRARY_MISSING_STATUS = 69
"""Exit status by which a library script says that its library is not on this machine (EX_UNAVAILABLE)."""
_MODULE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


class LiveProbe:
    """Asks the machine below ``root``. No call outlives ``deadline`` (of ``time.monotonic``), where one is given.

    Files are read up to 1 MiB, output up to 4 MiB. Programs run with ``LC_ALL=C``.
    """

    def __init__(self, root: str | Path = "/", *, deadline: float | None = None) -> None:
        self._root = Path(root)
        self._deadline = deadline

    def pci_devices(self) -> Sequence[PciDevice] | Unknown:
        """Return the PCI functions in sysfs; Unknown where there is no sysfs."""
        return pci_devices(self._root)

    def read_file(self, path: str) -> str | None:
        """Return at most the first mebibyte of a file; None when it cannot be read."""
        try:
            with self._path(path).open("rb") as file:
                return file.read(FILE_LIMIT_BYTES).decode(errors="replace")
        except (OSError, ValueError):  # ValueError: a path with a null character
            return None

    def list_dir(self, path: str) -> Sequence[str] | None:
        """Return the sorted names in a folder; None when there is none."""
        try:
            return tuple(sorted(entry.name for entry in self._path(path).iterdir()))
        except (OSError, ValueError):
            return None

    def environ(self, name: str) -> str | None:
        """Return an environment variable."""
        return env.variable(name)

    def run(self, command: Sequence[str], *, timeout_s: float) -> CommandResult:
        """Run a program found on PATH, or below the root if named by its path.

        A missing or unstartable one is reported, never raised.
        """
        command = [self._program(command[0]), *command[1:]] if command else []
        if not command or shutil.which(command[0]) is None:
            return CommandResult(missing=True)
        try:
            outcome = bounded.run(
                command,
                timeout_s=self._left(timeout_s),
                limit_bytes=COMMAND_LIMIT_BYTES,
                environment=env.child_environment({"LC_ALL": "C"}),
            )
        except (OSError, ValueError) as error:
            return CommandResult(stderr=f"cannot be started: {error}")
        note = f"\n[{outcome.failure}]" if outcome.overflowed else ""
        return CommandResult(
            stdout=outcome.stdout,
            stderr=outcome.stderr + note,
            exit_status=outcome.exit_status,
            timed_out=outcome.timed_out,
        )

    def library(self, name: str, call: str) -> str | None:
        """Run ``python -m name call`` in a child and return its stdout, which must be JSON.

        ``name`` is the dotted module of a probe script in the vendor's plugin; the script loads the vendor's library,
        so that a crash or a hang in it stays in the child. None when the script exits with status 69, or does not
        exist. A crash, a deadline or other output is returned as ``{"error": reason}``.
        """
        if not _MODULE.fullmatch(name):
            raise ValueError(f"a library is named by the module of its probe script, not {name!r}")
        command = [sys.executable, "-P", "-m", name, call]
        outcome = bounded.run(
            command,
            timeout_s=self._left(LIBRARY_TIMEOUT_S),
            limit_bytes=COMMAND_LIMIT_BYTES,
            environment=env.child_environment({"LC_ALL": "C"}),
        )
        if outcome.exit_status == LIBRARY_MISSING_STATUS or f"No module named {name}" in outcome.stderr:
            return None
        failure = outcome.failure
        if failure is not None:
            last = (outcome.stderr.strip().splitlines() or [""])[-1]
            return json.dumps({"error": f"{name} {failure}; {last}".rstrip("; ")})
        try:
            json.loads(outcome.stdout)
        except (ValueError, RecursionError):
            return json.dumps({"error": f"{name} did not answer in JSON"})
        return outcome.stdout

    def _program(self, name: str) -> str:
        """A program named by its path is looked for below the root, as a file is."""
        return str(self._path(name)) if name.startswith("/") else name

    def _path(self, path: str) -> Path:
        return self._root / path.lstrip("/")

    def _left(self, timeout_s: float) -> float:
        if self._deadline is None:
            return timeout_s
        return max(0.0, min(timeout_s, self._deadline - time.monotonic()))
