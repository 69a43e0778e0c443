"""Which process is which: a process id may be another's after its owner ended, or after a reboot."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from sage_infer_contracts.wire import FrozenModel

_START_FIELD = 19
"""Place of ``starttime`` among the fields of /proc/PID/stat behind the name in brackets (proc(5), field 22)."""


class ProcessIdentity(FrozenModel):
    """One process of one boot. ``start_ticks`` and the two ids are null where the system does not tell."""

    pid: int
    start_ticks: int | None = Field(default=None, description="clock ticks between boot and its start")
    boot: str | None = None
    namespace: str | None = Field(default=None, description="of process ids; a container has its own")

    def is_gone(self) -> bool:
        """Say whether the process has surely ended; one of another container cannot be judged, and is not gone."""
        if self.boot is not None and self.boot != boot_id():
            return True
        if self.namespace != _namespace():
            return False
        if self.start_ticks is not None:
            return start_ticks(self.pid) != self.start_ticks
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False


def this_process() -> ProcessIdentity:
    """Return this process's identity."""
    pid = os.getpid()
    return ProcessIdentity(pid=pid, start_ticks=start_ticks(pid), boot=boot_id(), namespace=_namespace())


def boot_id() -> str | None:
    """Return a name for the time since the last boot; null where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def start_ticks(pid: int) -> int | None:
    """Return when a process started; null if there is none, it is a zombie, or the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[_START_FIELD])


def _namespace() -> str | None:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None
