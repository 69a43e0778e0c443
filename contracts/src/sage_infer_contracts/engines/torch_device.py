"""NamespaceRuntime: a DeviceRuntime over a device namespace of torch, which is what most vendors' extensions add.

The framework and the extension are imported by :meth:`NamespaceRuntime.prepare` and by name, so that this module
imports neither.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

import attrs

from ..errors import DeviceUnavailable, SageInferError, Unsupported
from ..names import DType
from ..runtime import MemoryInfo
from .device_errors import ErrorTable

FRAMEWORK_DTYPES: dict[DType, str] = {
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "fp8_e4m3": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
    "int8": "int8",
}
"""What torch calls the dtypes it has."""

_DEVICE_ERRORS = (RuntimeError, OSError, AttributeError, TypeError, AssertionError)
"""What a namespace raises: RuntimeError by the device, AssertionError by a torch built without it, AttributeError and
TypeError by a release that lacks a function or a parameter of it, OSError by a driver's library."""


@attrs.define(slots=False, kw_only=True, eq=False)
class NamespaceRuntime:
    """The devices of ``torch.<namespace>``; a vendor's subclass says which and checks that they are its own.

    ``dtypes`` are those the device computes in, the preferred one first. ``extension`` is the vendor's module that
    adds the namespace, or puts another device behind a known one; None where torch's own build has it.
    ``install_hint`` ends every message about something missing. ``errors`` sorts the driver's messages.

    A subclass without further fields is a callable without arguments, as ``sage_infer.device.v1`` asks for::

        class AcmeRuntime(NamespaceRuntime):
            def __init__(self) -> None:
                super().__init__(
                    name="acme", namespace="acme", extension="torch_acme", supported_dtypes=("bf16", "fp16"),
                    install_hint="pip install sage-infer-acme[runtime]",
                )
    """

    name: str
    namespace: str
    supported_dtypes: Sequence[DType]
    install_hint: str
    extension: str | None = None
    framework: str = "torch"
    attention_name: str = "gather_sdpa"
    errors: ErrorTable = attrs.field(factory=ErrorTable)
    _framework: Any = attrs.field(default=None, init=False, repr=False)

    def prepare(self) -> None:
        """Import framework and extension, and see that there is a device of this vendor.

        Raises ``DeviceUnavailable`` whose reason is ``no_<module>``, ``no_namespace``, ``no_device``, what
        :meth:`check` says, or the kind of the driver's error.
        """
        framework = self._import(self.framework)
        if self.extension is not None:
            self._import(self.extension)
        if getattr(framework, self.namespace, None) is None:
            raise self.unavailable(
                f"this build of {self.framework} has no devices of type {self.namespace!r}", "no_namespace"
            )
        self._framework = framework
        try:
            with self._translated("looking for devices"):
                self.check(framework, self._devices)
                count = self.device_count()
            if count == 0:
                raise self.unavailable(f"{self.framework}.{self.namespace} shows no device", "no_device")
        except BaseException:
            self._framework = None
            raise

    def check(self, framework: Any, namespace: Any) -> None:
        """Raise ``DeviceUnavailable`` unless ``namespace`` is this vendor's; for a subclass to override.

        Several vendors answer under one namespace; what tells them apart is the framework's build, the modules that
        are installed, or a device's name. Called once, by :meth:`prepare`. The default has nothing to check.
        """

    def device(self, index: int) -> Any:
        """Return the framework's device object; raises ``DeviceUnavailable`` for an index that is not there."""
        count = self.device_count()
        if not 0 <= index < count:
            raise DeviceUnavailable(
                f"{self.name} has {count} devices here, 0 to {count - 1}; {index} was asked for",
                reason="no_such_index",
            )
        return self._prepared.device(self.namespace, index)

    def device_count(self) -> int:
        """Return how many devices the process may use; 0 where the namespace is there and no device is."""
        with self._translated("counting devices"):
            return int(self._devices.device_count()) if self._devices.is_available() else 0

    def memory_info(self, index: int) -> MemoryInfo:
        """Return free and total bytes as the namespace measures them."""
        with self._translated(f"measuring memory of device {index}"):
            free, total = self._devices.mem_get_info(index)
        return MemoryInfo(int(free), int(total))

    def dtypes(self) -> tuple[DType, ...]:
        """Return the dtypes the device computes in, the preferred one first."""
        return tuple(self.supported_dtypes)

    def framework_dtype(self, dtype: DType) -> Any:
        """Return the framework's dtype; raises ``Unsupported`` for one that the device or the framework lacks."""
        if dtype not in self.dtypes():
            raise Unsupported(
                f"{self.name} does not compute in {dtype}; it does in {', '.join(self.dtypes())}",
                param="dtype",
            )
        found = getattr(self._prepared, FRAMEWORK_DTYPES.get(dtype, ""), None)
        if found is None:
            raise Unsupported(f"this {self.framework} has no dtype for {dtype}", param="dtype")
        return found

    def attention(self) -> str:
        """Return the name given as ``attention_name``; the default gathers pages for torch's fused attention."""
        return self.attention_name

    def pack_linear(self, weight: Any, bias: Any | None) -> Callable[[Any], Any] | None:
        """Return None: torch's own product is used; for a subclass whose device has a layout of its own."""
        return None

    def set_threads(self, threads: int | None) -> int:
        """Set CPU threads (None: leave the framework's); the device does the work, so few are needed."""
        if threads is not None:
            self._prepared.set_num_threads(threads)
        return int(self._prepared.get_num_threads())

    def new_stream(self, index: int) -> Any:
        """Return a new stream of device ``index``."""
        device = self.device(index)
        with self._translated(f"making a stream on device {index}"):
            return self._devices.Stream(device=device)

    def stream(self, stream: Any) -> AbstractContextManager[Any]:
        """Make ``stream`` current; a no-op for None."""
        context: AbstractContextManager[Any] = (
            nullcontext() if stream is None else self._devices.stream(stream)
        )
        return context

    def record_event(self, stream: Any) -> Any:
        """Mark the work queued on ``stream``; None means the current stream of the current device."""
        with self._translated("recording an event"):
            event = self._devices.Event()
            event.record(self._devices.current_stream() if stream is None else stream)
        return event

    def wait_event(self, event: Any, stream: Any) -> None:
        """Let later work of ``stream`` (None: the current one) wait for ``event``; a no-op for None."""
        if event is not None:
            with self._translated("waiting for an event"):
                (self._devices.current_stream() if stream is None else stream).wait_event(event)

    def pinned_empty(self, shape: tuple[int, ...], dtype: Any) -> Any:
        """Return a page-locked host tensor; raises ``CapacityExceeded`` when there is no memory for it."""
        with self._translated("pinning host memory"):
            return self._prepared.empty(shape, dtype=dtype, pin_memory=True)

    def copy(self, destination: Any, source: Any, *, non_blocking: bool = False) -> None:
        """Copy tensor to tensor; with ``non_blocking``, ordered on the current stream."""
        with self._translated("copying"):
            destination.copy_(source, non_blocking=non_blocking)

    def synchronize(self, index: int) -> None:
        """Wait for all queued work of device ``index``; an error of that work is raised here."""
        with self._translated(f"waiting for device {index}"):
            self._devices.synchronize(index)

    def empty_cache(self, index: int) -> None:
        """Return the framework's cached, unused memory of every device to the system."""
        with self._translated("emptying the cache"):
            self._devices.empty_cache()

    @property
    def _prepared(self) -> Any:
        if self._framework is None:
            raise DeviceUnavailable(
                f"the runtime of {self.name} is used before prepare() succeeded", reason="not_prepared"
            )
        return self._framework

    @property
    def _devices(self) -> Any:
        return getattr(self._prepared, self.namespace)

    def _import(self, module: str) -> Any:
        if find_spec(module) is None:
            raise self.unavailable(f"it needs the module {module!r}, which is not installed", f"no_{module}")
        try:
            return importlib.import_module(module)
        except (
            Exception,
            SystemExit,
        ) as error:  # boundary: an extension may raise anything while it loads its libraries
            known = self.errors.find(f"{type(error).__name__}: {error}")
            raise self.unavailable(
                f"the module {module!r} cannot be imported ({type(error).__name__}: {error})"
                + (f"; {known.advice}" if known and known.advice else ""),
                known.kind if known else f"broken_{module}",
            ) from error

    def unavailable(self, what: str, reason: str) -> DeviceUnavailable:
        """Return the error that says what is missing and what to install; for :meth:`check` to raise."""
        return DeviceUnavailable(f"{self.name}: {what}; {self.install_hint}", reason=reason)

    @contextmanager
    def _translated(self, action: str) -> Iterator[None]:
        try:
            yield
        except _DEVICE_ERRORS as error:
            if isinstance(error, SageInferError):
                raise  # said already, by a runtime's own check
            raise self.errors.translate(f"{self.name}: {action}", error) from error
