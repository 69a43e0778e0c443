"""The completeness marker: what a finished model folder contains, and a cheap check that it still does."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Self

from pydantic import Field, NonNegativeInt, ValidationError

from sage_infer_contracts.wire import FrozenModel

MARKER_NAME = "sage_infer_model.json"
WHOLE_DIGEST_BELOW_BYTES = 8 * 2**20
SAMPLES = 32
SAMPLE_BYTES = 64 * 2**10


class FileRecord(FrozenModel):
    """Size, time and digests of one file. ``sample`` covers evenly spread pieces, the whole of a small file."""

    size_bytes: NonNegativeInt
    modified_ns: int
    sample: str
    sha256: str


class Marker(FrozenModel):
    """Written last into a model folder, before the folder gets its final name."""

    source: str = Field(description="pins of the bytes the model was built from")
    builder: str = Field(description="name and version of the code that built it")
    files: dict[str, FileRecord]

    @classmethod
    def of_folder(cls, folder: Path, *, source: str, builder: str) -> Self:
        """Describe every file below ``folder``."""
        paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARKER_NAME)
        return cls(
            source=source,
            builder=builder,
            files={path.relative_to(folder).as_posix(): _record(path) for path in paths},
        )

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the folder's marker; None when there is none or it is not one."""
        try:
            return cls.model_validate(json.loads((folder / MARKER_NAME).read_bytes()))
        except (OSError, ValueError, ValidationError, RecursionError):
            return None

    def write(self, folder: Path) -> None:
        """Put the marker into ``folder``."""
        (folder / MARKER_NAME).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    def first_difference(self, folder: Path) -> str | None:
        """Return what is wrong with ``folder``, or None when its files are the recorded ones.

        Small files are read whole. Of large ones, size and evenly spread samples are compared; one whose
        modification time changed is read whole. A bit flipped inside a large file without touching its time
        and outside the samples is not found.
        """
        for name, record in self.files.items():
            problem = _compare(folder / name, record)
            if problem is not None:
                return f"{name} {problem}"
        return None


def _record(path: Path) -> FileRecord:
    status = path.stat()
    return FileRecord(
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        sample=sample_digest(path, status.st_size),
        sha256=whole_digest(path),
    )


def _compare(path: Path, record: FileRecord) -> str | None:
    try:
        status = path.stat()
        if status.st_size != record.size_bytes:
            return f"has {status.st_size} bytes, not {record.size_bytes}"
        if sample_digest(path, status.st_size) != record.sample:
            return "has other bytes than were written"
        if status.st_mtime_ns != record.modified_ns and whole_digest(path) != record.sha256:
            return "was changed"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None


def sample_digest(path: Path, size_bytes: int) -> str:
    """Digest evenly spread pieces of a file, its first and last bytes included; all of a small one."""
    if size_bytes <= WHOLE_DIGEST_BELOW_BYTES:
        return whole_digest(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for number in range(SAMPLES):
            file.seek((size_bytes - SAMPLE_BYTES) * number // (SAMPLES - 1), os.SEEK_SET)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def whole_digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
