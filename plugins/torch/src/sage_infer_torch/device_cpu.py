"""The device ``cpu``. torch is imported by :meth:`CpuRuntime.prepare` only."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sage_infer_contracts.errors import DeviceUnavailable, Unsupported
from sage_infer_contracts.names import DType
from sage_infer_contracts.runtime import MemoryInfo

if TYPE_CHECKING:
    import torch

_DTYPES: dict[DType, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_CGROUP = Path("/sys/fs/cgroup")


class CpuRuntime:
    """Host memory and cores. All work is synchronous, so streams and events are None."""

    name = "cpu"

    def prepare(self) -> None:
        """Import torch; raises ``DeviceUnavailable`` when it cannot be imported.

        Idle OpenMP threads sleep unless the user's ``OMP_WAIT_POLICY`` says otherwise; see decision 0006.
        """
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when the OpenMP library is loaded
        try:
            import torch  # noqa: F401
        except (ImportError, OSError) as error:
            raise DeviceUnavailable(
                f"torch cannot be imported ({error}); install it, e.g. pip install torch", reason="no_torch"
            ) from error

    def device(self, index: int) -> torch.device:
        """Return ``cpu``; there is only logical device 0."""
        import torch

        if index != 0:
            raise DeviceUnavailable(
                f"there is one cpu device, 0; {index} was asked for", reason="no_such_index"
            )
        return torch.device("cpu")

    def device_count(self) -> int:
        """Return 1: all cores are one device."""
        return 1

    def memory_info(self, index: int) -> MemoryInfo:
        """Return available and total memory in bytes, the smaller of host's and control group's."""
        free, total = _host_memory()
        limit, used = _read_bytes(_CGROUP / "memory.max"), _read_bytes(_CGROUP / "memory.current")
        if limit is not None and used is not None and limit < total:
            return MemoryInfo(min(free, max(limit - used, 0)), limit)
        return MemoryInfo(free, total)

    def dtypes(self) -> tuple[DType, ...]:
        """Return fp32 first: it is the one every core computes in natively."""
        return tuple(_DTYPES)

    def framework_dtype(self, dtype: DType) -> torch.dtype:
        """Return the torch dtype; raises ``Unsupported`` for one that torch does not compute in on CPU."""
        import torch

        if dtype not in _DTYPES:
            raise Unsupported(
                f"cpu does not compute in {dtype}; it does in {', '.join(_DTYPES)}", param="dtype"
            )
        resolved: torch.dtype = getattr(torch, _DTYPES[dtype])
        return resolved

    def attention(self) -> str:
        """Return ``gather_sdpa``: pages are gathered and handed to torch's fused attention."""
        return "gather_sdpa"

    def pack_linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Callable[[Any], Any] | None:
        """Return oneDNN's product over its own blocked layout, where torch has it for the dtype.

        On an AMD EPYC with AVX-512 a decode step at batch 8 and 16 took 0.6 of the plain one's time, a prompt of 512
        tokens 0.9 (``benchmarks/model_steps.py``).
        """
        import torch

        operators = torch.ops.mkldnn
        if not torch.backends.mkldnn.is_available() or not hasattr(operators, "_linear_pointwise"):
            return None
        native = {torch.float32: None, torch.bfloat16: "bf16", torch.float16: "fp16"}[weight.dtype]
        if native is not None and not getattr(operators, f"_is_mkldnn_{native}_supported")():
            return None
        packed = operators._reorder_linear_weight(weight.contiguous(), None)
        return lambda x: operators._linear_pointwise(x, packed, bias, "none", [], "")

    def set_threads(self, threads: int | None) -> int:
        """Set torch's threads for the calling thread (None: one per usable core); return the number."""
        import torch

        torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
        return int(torch.get_num_threads())

    def new_stream(self, index: int) -> None:
        """Return None: work is synchronous."""
        return

    def stream(self, stream: Any) -> AbstractContextManager[Any]:
        """Return a context that does nothing."""
        return nullcontext()

    def record_event(self, stream: Any) -> None:
        """Return None: work is synchronous."""
        return

    def wait_event(self, event: Any, stream: Any) -> None:
        """Return at once: recorded work is done."""

    def pinned_empty(self, shape: tuple[int, ...], dtype: Any) -> torch.Tensor:
        """Return an uninitialised host tensor; host memory needs no staging."""
        import torch

        return torch.empty(shape, dtype=dtype)

    def copy(self, destination: Any, source: Any, *, non_blocking: bool = False) -> None:
        """Copy tensor to tensor; complete on return."""
        destination.copy_(source)

    def synchronize(self, index: int) -> None:
        """Return at once: work is synchronous."""

    def empty_cache(self, index: int) -> None:
        """Return at once: torch keeps no cache of host memory."""


def _host_memory() -> tuple[int, int]:
    """Return (available, total) bytes of the host."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = page * os.sysconf("SC_PHYS_PAGES")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024, total
    return page * os.sysconf("SC_AVPHYS_PAGES"), total


def _read_bytes(path: Path) -> int | None:
    """Return the number in a control-group file; None when it is absent or says ``max``."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None  # no control group of version 2 here: the host's figures stand
    return int(text) if text.isdigit() else None
