"""What a vendor's driver and framework say when something is wrong, as data: which message is which kind of error."""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

import attrs

from ..errors import CapacityExceeded, DeviceUnavailable, SageInferError

ErrorKind = Literal[
    "permission", "driver", "version_mismatch", "lost_device", "out_of_memory", "timeout", "unknown"
]
"""What to do about it differs: ask for access, install or reload a driver, match versions, replace a card, ask for
less, wait, or read the message."""


@attrs.frozen(slots=True, kw_only=True)
class KnownError:
    """One message, by what stays the same in it.

    ``pattern`` is a regular expression, searched without case; it is compiled when first looked for, since most
    processes never see an error. ``advice`` is what a user can do about it, ``source`` where the message was seen.
    """

    pattern: str
    kind: ErrorKind
    source: str
    advice: str = ""

    def is_in(self, message: str) -> bool:
        """Say whether ``message`` is this error; raises ``ValueError`` for a pattern that is no regular expression."""
        return _compiled(self.pattern).search(message) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


@attrs.frozen(slots=True)
class ErrorTable:
    """A vendor's known errors; the first that matches says what it is."""

    errors: tuple[KnownError, ...] = ()

    def find(self, message: str) -> KnownError | None:
        """Return the known error that ``message`` is; None: not one of ours, whatever else it is."""
        return next((error for error in (*self.errors, *_ANY_DEVICE) if error.is_in(message)), None)

    def kind(self, message: str) -> ErrorKind:
        """Return the kind of ``message``, ``unknown`` where no pattern matches."""
        known = self.find(message)
        return known.kind if known is not None else "unknown"

    def translate(self, action: str, error: BaseException) -> SageInferError:
        """Return the member of the error family for what ``action`` raised; raise it ``from error``.

        Lack of memory is ``CapacityExceeded``; anything else is ``DeviceUnavailable`` with the kind as its reason.
        """
        said = f"{type(error).__name__}: {error}"
        known = self.find(said)
        message = f"{action} failed: {said}" + (f"; {known.advice}" if known and known.advice else "")
        if known is not None and known.kind == "out_of_memory":
            return CapacityExceeded(message)
        return DeviceUnavailable(message, reason=known.kind if known is not None else "unknown")


_ANY_DEVICE = (
    KnownError(
        pattern=r"OutOfMemoryError|out of memory",
        kind="out_of_memory",
        source="torch.OutOfMemoryError, and what extensions say in its place",
    ),
    KnownError(pattern=r"PermissionError|permission denied", kind="permission", source="errno EACCES"),
)
