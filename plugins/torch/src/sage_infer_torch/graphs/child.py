"""The child process that compiles: reads batch sizes from standard input, answers each with a line.

It ends with its standard input, at the latest after the graph at hand, so it does not stay behind when the engine
dies; and it gives way to the engine's own work.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import torch

from .store import GraphStore
from .trace import DecodeTracer

DONE, FAILED = "done", "failed"


def main(model_path: str, dtype: str, threads: int, root: str) -> None:
    """Serve until there is nothing more to read."""
    os.nice(5)
    torch.set_num_threads(threads)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what compilers print is no answer
    store = GraphStore(Path(root), model_path, dtype, threads)
    store.folder.mkdir(parents=True, exist_ok=True)
    tracer: DecodeTracer | None = None
    for line in sys.stdin:
        rows = int(line)
        draft = tempfile.mkdtemp(prefix=".draft-", dir=store.folder)
        try:
            with torch.inference_mode():
                tracer = tracer or DecodeTracer(model_path, getattr(torch, dtype))
                tracer.compile(rows, Path(draft))
            store.publish(rows, Path(draft))
            print(DONE, rows, file=answers)
        except Exception as error:  # noqa: BLE001 - boundary: whatever the compiler raises is told to the engine
            shutil.rmtree(draft, ignore_errors=True)
            print(FAILED, rows, f"{type(error).__name__}: {' '.join(str(error).split())}"[:500], file=answers)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
