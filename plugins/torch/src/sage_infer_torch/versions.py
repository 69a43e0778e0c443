"""Which versions of its frameworks this engine was tested with (PK-06), and which are installed here."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from packaging.version import InvalidVersion, Version

from sage_infer_contracts.launch import VersionWindow

TORCH = VersionWindow(distribution="torch", minimum="2.13.0", below="2.14")
TRANSFORMERS = VersionWindow(distribution="transformers", minimum="5.19.0", below="5.24")


def untested() -> tuple[str, ...]:
    """Return a sentence for each framework whose installed version was not tested; nothing is imported for that."""
    return tuple(filter(None, map(_outside, (TORCH, TRANSFORMERS))))


def _outside(window: VersionWindow) -> str | None:
    tested = f"this engine was tested with >= {window.minimum}, < {window.below}"
    try:
        found = version(window.distribution)
        inside = Version(window.minimum) <= Version(found) < Version(window.below or found)
    except PackageNotFoundError:
        return f"{window.distribution} is not installed; {tested}"
    except InvalidVersion as error:
        return f"{window.distribution}: {error}; {tested}"
    return None if inside else f"{window.distribution} {found} is installed; {tested}"
