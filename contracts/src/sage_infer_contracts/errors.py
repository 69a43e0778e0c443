"""The one error family. Each member is also the builtin a caller would already be catching.

Anything else that escapes a plugin is a violation of clause PK-04.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

WireError = Mapping[str, str | None]


class SageInferError(Exception):
    """Root of the family. ``code`` is stable and travels over process and HTTP boundaries."""

    code: ClassVar[str] = "error"

    def wire_fields(self) -> dict[str, str | None]:
        """Return the named fields that must survive a process boundary, as strings."""
        return {}


class PluginError(SageInferError):
    """What went wrong with one plugin. Fields that are not known are None; the cause is ``__cause__``."""

    def __init__(
        self,
        message: str,
        *,
        kind: str | None = None,
        name: str | None = None,
        distribution: str | None = None,
        version: str | None = None,
        target: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.name = name
        self.distribution = distribution
        self.version = version
        self.target = target

    def wire_fields(self) -> dict[str, str | None]:
        """Return which plugin it was."""
        return {
            field: getattr(self, field) for field in ("kind", "name", "distribution", "version", "target")
        }


class PluginNotFound(PluginError, LookupError):
    """No installed plugin answers to the requested kind and name."""

    code = "plugin_not_found"


class PluginConflict(PluginError, LookupError):
    """Two distributions claim one name; ``dist:name`` selects."""

    code = "plugin_conflict"


class PluginIncompatible(PluginError, ImportError):
    """The plugin needs a newer contract, or adapts a version outside its tested window."""

    code = "plugin_incompatible"


class PluginLoadError(PluginError, ImportError):
    """A plugin asked for by name failed while it was imported or created."""

    code = "plugin_load_error"


class Unsupported(SageInferError, NotImplementedError):
    """The capability was not declared, so the call is refused before any work starts."""

    code = "unsupported"

    def __init__(self, message: str, *, capability: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.capability = capability
        self.param = param

    def wire_fields(self) -> dict[str, str | None]:
        """Return the capability and the request parameter that was refused."""
        return {"capability": self.capability, "param": self.param}


class DeviceUnavailable(SageInferError, RuntimeError):
    """The device, driver or vendor library is missing or unusable; the message says what to install."""

    code = "device_unavailable"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason

    def wire_fields(self) -> dict[str, str | None]:
        """Return the machine-readable reason."""
        return {"reason": self.reason}


class BackendUnavailable(SageInferError, ConnectionError):
    """The backend died, was closed, or has not been started."""

    code = "backend_unavailable"


class CapacityExceeded(SageInferError, MemoryError):
    """A bounded queue, pool or budget is full. Retrying later may succeed."""

    code = "capacity_exceeded"


class IntegrityError(SageInferError, ValueError):
    """Stored or received bytes are not what was written; the data was dropped."""

    code = "integrity_error"


class DeadlineExceeded(SageInferError, TimeoutError):
    """The operation did not end by its deadline and was abandoned."""

    code = "deadline_exceeded"


class InvalidRequest(SageInferError, ValueError):
    """The request breaks a declared limit or is malformed. ``param`` names the field."""

    code = "invalid_request"

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param

    def wire_fields(self) -> dict[str, str | None]:
        """Return the offending parameter."""
        return {"param": self.param}


FAMILY: tuple[type[SageInferError], ...] = (
    PluginNotFound,
    PluginConflict,
    PluginIncompatible,
    PluginLoadError,
    Unsupported,
    DeviceUnavailable,
    BackendUnavailable,
    CapacityExceeded,
    IntegrityError,
    DeadlineExceeded,
    InvalidRequest,
)
_BY_CODE = {error.code: error for error in FAMILY}


def error_to_wire(error: BaseException) -> dict[str, str | None]:
    """Describe ``error`` as a flat mapping that :func:`error_from_wire` turns back into the same type.

    An exception outside the family keeps its type name in the message and becomes ``SageInferError``.
    """
    if isinstance(error, SageInferError):
        return {"code": error.code, "message": str(error), **error.wire_fields()}
    return {"code": SageInferError.code, "message": f"{type(error).__name__}: {error}"}


def error_from_wire(wire: WireError) -> SageInferError:
    """Rebuild an error sent by :func:`error_to_wire`; unknown codes become the family's root."""
    fields = {key: value for key, value in wire.items() if key not in ("code", "message")}
    family = _BY_CODE.get(wire.get("code") or "", SageInferError)
    return family(wire.get("message") or "", **fields)
