"""Which distribution installed a file, and whether it still is that file."""

from __future__ import annotations

import base64
import csv
import hashlib
import inspect
import json
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlparse

from packaging.utils import canonicalize_name

from .facts import Origin, Owner
from .metadata import DRIVER_GROUPS, closure, publishes


def origin_of_module(name: str, judged: str) -> Origin:
    """Tell where an imported module came from; ``judged`` is the distribution that is judged."""
    return _origin(f"module {name}", getattr(sys.modules.get(name), "__file__", None), judged)


def origin_of_class(made: type, judged: str) -> Origin:
    """Tell where a class came from."""
    try:
        file: str | None = inspect.getfile(made)
    except (TypeError, OSError):
        file = None
    return _origin(f"class {made.__module__}.{made.__qualname__}", file, judged)


def _origin(what: str, file: str | None, judged: str) -> Origin:
    if file is None:
        return Origin(what=what)
    required = closure([judged])
    owners = tuple(
        Owner(
            name=name,
            publishes_drivers=any(publishes(found, group) for group in DRIVER_GROUPS),
            is_required=name in required,
            has_changed=has_changed,
        )
        for name, (found, has_changed) in sorted(_owners_of(Path(file).resolve()).items())
    )
    return Origin(what=what, file=file, owners=owners)


def _owners_of(file: Path) -> dict[str, tuple[Distribution, bool]]:
    """Return the distributions that list ``file``, or else the one that is installed from a folder around it.

    Of two copies of a distribution the one that comes first on the path is in force, as for imports.
    """
    installed: dict[str, Distribution] = {}
    for found in distributions():
        if found.name:
            installed.setdefault(str(canonicalize_name(found.name)), found)
    listed = {
        name: (found, digest)
        for name, found in installed.items()
        if (digest := _recorded(found, file)) is not None
    }
    if listed:
        return {
            name: (found, bool(digest) and digest != _digest(file))
            for name, (found, digest) in listed.items()
        }
    folders = {
        name: folder for name, found in installed.items() if (folder := _source_folder(found)) is not None
    }
    around = {name: folder for name, folder in folders.items() if file.is_relative_to(folder)}
    if not around:
        return {}
    nearest = max(around.values(), key=lambda folder: len(folder.parts))
    return {name: (installed[name], False) for name, folder in around.items() if folder == nearest}


def _recorded(found: Distribution, file: Path) -> str | None:
    """Return the digest that RECORD gives for ``file``, empty if it gives none; None where it is not listed."""
    base = Path(str(found.locate_file(""))).resolve()
    record = found.read_text("RECORD") if file.is_relative_to(base) else None
    relative = file.relative_to(base).as_posix() if record else ""
    # Most records are long and do not name the file: only one that does is taken apart.
    if not record or relative not in record:
        return None
    rows = {row[0]: row[1] for row in csv.reader(record.splitlines()) if len(row) > 1}
    return rows.get(relative)


def _digest(file: Path) -> str:
    digest = hashlib.sha256(file.read_bytes()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _source_folder(found: Distribution) -> Path | None:
    """Return the folder of a distribution that is installed in editable form."""
    text = found.read_text("direct_url.json")
    if text is None:
        return None
    try:
        facts = json.loads(text)
        editable = facts["dir_info"]["editable"]
        url = urlparse(facts["url"])
    except (ValueError, KeyError, TypeError):
        return None
    return Path(unquote(url.path)).resolve() if editable and url.scheme == "file" else None
