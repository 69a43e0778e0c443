"""GraphStore: where compiled graphs are kept, and under which key."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

import torch


class GraphStore:
    """A folder for one model on one kind of processor: one folder per batch size in it.

    A graph holds machine code for the very processor and a fixed number of threads, but no weights.
    """

    def __init__(self, root: Path, model_path: str, dtype: str, threads: int) -> None:
        digest = hashlib.sha256((Path(model_path) / "config.json").read_bytes())
        for fact in (dtype, str(threads), platform.machine(), _cpu_flags(), *_versions()):
            digest.update(b"\0" + fact.encode())
        self.folder = root / digest.hexdigest()[:32]

    def path(self, rows: int) -> Path:
        """Folder of the graph for ``rows`` sequences; it exists once the graph is whole."""
        return self.folder / f"decode-{rows}"

    def publish(self, rows: int, draft: Path) -> None:
        """Move the finished graph in ``draft`` to its place; somebody else's that is there already stays."""
        try:
            os.rename(draft, self.path(rows))
        except OSError:
            if not self.path(rows).is_dir():
                raise
            shutil.rmtree(draft)

    def remove(self, rows: int) -> None:
        """Forget a graph that could not be used."""
        shutil.rmtree(self.path(rows), ignore_errors=True)


def cache_root() -> Path:
    """``graphs`` in ``SAGE_INFER_CACHE``, or in the user's cache folder."""
    named = os.environ.get("SAGE_INFER_CACHE")
    if named:
        return Path(named).expanduser() / "graphs"
    from platformdirs import user_cache_path

    return user_cache_path("sage-infer", appauthor=False) / "graphs"


def _versions() -> tuple[str, ...]:
    return tuple(f"{name}={version(name)}" for name in ("torch", "transformers", "sage-infer-torch"))


def _cpu_flags() -> str:
    """Return the instruction sets of the processor, as far as the system tells."""
    known: str = torch.backends.cpu.get_cpu_capability()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return known + next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        return known  # not Linux
