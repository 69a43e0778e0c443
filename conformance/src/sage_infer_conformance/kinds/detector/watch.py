"""Watches what a detector reaches for past its probe: files of the machine, processes, frameworks, the environment."""

from __future__ import annotations

import functools
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HEAVY = frozenset(
    {
        *(
            "torch",
            "torch_npu",
            "torch_mlu",
            "torch_musa",
            "torch_xmlir",
            "tensorflow",
            "jax",
            "paddle",
            "mindspore",
        ),
        *(
            "pynvml",
            "nvitop",
            "pycuda",
            "cupy",
            "numba",
            "cuda",
            "amdsmi",
            "rocm_smi",
            "acl",
            "pyopencl",
            "mtml",
        ),
        *("vllm", "vllm_ascend", "triton", "transformers", "openvino", "habana_frameworks"),
    }
)
"""Frameworks and vendor SDKs that a detector's process must stay free of."""
_MACHINE = ("/proc", "/sys", "/dev", "/etc", "/usr", "/opt", "/run", "/var", "/lib", "/bin", "/sbin", "/boot")
_HARMLESS = ("/dev/null", "/dev/urandom", "/dev/random", "/dev/tty", "/etc/localtime", "/usr/share")
_FILES = frozenset({"open", "os.listdir", "os.scandir"})
_PROCESSES = frozenset(
    {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"}
)
_ASKING_OS = (
    *((os, name) for name in ("cpu_count", "sched_getaffinity", "uname", "sysconf", "getloadavg", "statvfs")),
    (socket, "gethostname"),
)
_POOLS = frozenset({"concurrent", "multiprocessing", "asyncio", "random", "tempfile", "importlib"})
"""Parts of the standard library that ask for the number of processors, and the like, for purposes of their own."""
_LOOKING_UP = ("stat", "lstat", "access", "readlink")


class Watch:
    """Collects findings while it is on. One for the whole process, since an audit hook cannot be taken back."""

    def __init__(self) -> None:
        self._found: dict[str, None] | None = None
        # Modules and their data may lie anywhere, e.g. below /usr/local.
        self._own = tuple(os.path.realpath(path) for path in sys.path if path and path != "/")

    @contextmanager
    def on(self) -> Iterator[dict[str, None]]:
        """Collect what is reached for until the block ends."""
        found: dict[str, None] = {}
        self._found = found
        real = {(module, name): getattr(module, name) for module, name in _ASKING_OS if hasattr(module, name)}
        real |= {(os, name): getattr(os, name) for name in _LOOKING_UP}
        try:
            for (module, name), function in real.items():
                setattr(module, name, self._reporting(name, function))
            yield found
        finally:
            self._found = None
            for (module, name), function in real.items():
                setattr(module, name, function)
            for name in sorted(HEAVY & {module.partition(".")[0] for module in sys.modules}):
                found[f"import {name}"] = None

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Take note of an audit event. Runs for every event in the process, so it decides fast."""
        found = self._found
        if found is None:
            return
        if event in _FILES and arguments:
            self._note_path(f"{event} ", arguments[0])
        elif event in _PROCESSES:
            found[f"{event} {arguments[0] if arguments else ''!r}"[:120]] = None
        elif event in ("ctypes.dlopen", "socket.connect"):
            found[f"{event} {arguments[-1]!r}"[:120]] = None
        elif event == "import" and str(arguments[0]).partition(".")[0] in HEAVY:
            found[f"import {arguments[0]}"] = None

    def _note_path(self, how: str, path: object) -> None:
        found = self._found
        if found is None or not isinstance(path, str | bytes | os.PathLike):
            return
        name = os.path.normpath(os.fsdecode(path))
        if name.startswith(_MACHINE) and not name.startswith(_HARMLESS) and not name.startswith(self._own):
            found[f"{how}{name}"[:200]] = None

    def _reporting(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(real)
        def function(*arguments: Any, **named: Any) -> Any:
            if name in _LOOKING_UP:
                self._note_path(f"os.{name} ", arguments[0] if arguments else None)
            elif self._found is not None and _caller() not in _POOLS:
                self._found[f"{name}({', '.join(map(repr, arguments))})"[:120]] = None
            return real(*arguments, **named)

        return function


def _caller() -> str:
    return str(sys._getframe(2).f_globals.get("__name__", "")).partition(".")[0]


@functools.cache
def the_watch() -> Watch:
    """Return this process's watch, installed at the first call."""
    watch = Watch()
    sys.addaudithook(watch.hear)
    return watch
