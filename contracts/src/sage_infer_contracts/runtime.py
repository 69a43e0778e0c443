"""DeviceRuntime: all that an engine needs from a chip, behind one interface a vendor can implement.

Tensors, streams and events are the framework's own objects and opaque here, so that this module imports no
framework.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import attrs

from .names import DType


@attrs.frozen(slots=True)
class MemoryInfo:
    """Device memory now, in bytes."""

    free_bytes: int
    total_bytes: int


class DeviceRuntime(Protocol):
    """Found under ``sage_infer.device.v1``; resolves to a callable without arguments.

    :meth:`prepare` is called once in the process that runs the engine, before any other method, and is the
    place to import a vendor's framework extension. Constructing the runtime MUST import no framework (PK-02).
    """

    @property
    def name(self) -> str:
        """Hardware name, e.g. ``cpu``."""
        ...

    def prepare(self) -> None:
        """Import what the device needs. Raises ``DeviceUnavailable`` saying what to install (PK-03)."""
        ...

    def device(self, index: int) -> Any:
        """Return the framework's device object for logical device ``index``."""
        ...

    def device_count(self) -> int:
        """Return how many devices the process may use, visible-device variables honoured."""
        ...

    def memory_info(self, index: int) -> MemoryInfo:
        """Return measured free and total memory, limits of a container or slice included."""
        ...

    def dtypes(self) -> tuple[DType, ...]:
        """Return the dtypes the device computes in, the preferred one first."""
        ...

    def framework_dtype(self, dtype: DType) -> Any:
        """Return the framework's dtype object; raises ``Unsupported`` for one not in :meth:`dtypes`."""
        ...

    def attention(self) -> str:
        """Return the name of the paged-attention implementation the engine should use on this device."""
        ...

    def pack_linear(self, weight: Any, bias: Any | None) -> Callable[[Any], Any] | None:
        """Return a function [..., in] -> [..., out] on a layout of ``weight`` [out, in] that the device prefers.

        Called once for each weight, which the caller then lets go. None where the framework's own product of the
        plain weight is as fast. The result MUST be that product's, up to the dtype's rounding, whatever the rows.
        """
        ...

    def set_threads(self, threads: int | None) -> int:
        """Set CPU threads for compute (None: the runtime's choice); return the number in force."""
        ...

    def new_stream(self, index: int) -> Any:
        """Return a queue of device work, or None where the device has only one."""
        ...

    def stream(self, stream: Any) -> AbstractContextManager[Any]:
        """Make ``stream`` current; a no-op for None."""
        ...

    def record_event(self, stream: Any) -> Any:
        """Mark the work queued on ``stream`` so far; None where work is synchronous."""
        ...

    def wait_event(self, event: Any, stream: Any) -> None:
        """Let later work of ``stream`` wait for ``event``; a no-op for None."""
        ...

    def pinned_empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return an uninitialised host tensor that the device can copy from without staging."""
        ...

    def copy(self, destination: Any, source: Any, *, non_blocking: bool = False) -> None:
        """Copy tensor to tensor; with ``non_blocking``, ordered on the current stream."""
        ...

    def synchronize(self, index: int) -> None:
        """Wait for all queued work of the device."""
        ...

    def empty_cache(self, index: int) -> None:
        """Return cached, unused device memory to the system."""
        ...
