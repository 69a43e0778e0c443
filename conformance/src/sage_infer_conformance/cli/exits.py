"""Exit codes, and which error leads to which."""

from __future__ import annotations

from typing import Final

from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest, PluginError, SageInferError

HELD: Final = 0
NOT_HELD: Final = 1
USAGE: Final = 2
NOT_LOADED: Final = 3
NO_DEVICE: Final = 4
INTERRUPTED: Final = 130

_MEANINGS = {
    HELD: "held",
    NOT_HELD: "violated, thin or error",
    USAGE: "usage",
    NOT_LOADED: "the plugin was not found or failed to load",
    NO_DEVICE: "a real device was asked for and is absent",
}


def exit_code(error: SageInferError) -> int:
    """Return the exit code for an error that ended a command."""
    if isinstance(error, PluginError):
        return NOT_LOADED
    if isinstance(error, DeviceUnavailable):
        return NO_DEVICE
    return USAGE if isinstance(error, InvalidRequest) else NOT_HELD


def explain_exits() -> str:
    """Return the line of ``--help`` about exit codes."""
    return "Exit status: " + "; ".join(f"{code} {meaning}" for code, meaning in _MEANINGS.items()) + "."
