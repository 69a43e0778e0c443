"""GraphCompiler: a thread that fetches compiled graphs, from the store or from a child process."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from .child import DONE
from .store import GraphStore

logger = logging.getLogger(__name__)
Graph = Callable[..., tuple[torch.Tensor, ...]]
_END_TIMEOUT_S = 5.0


class GraphCompiler:
    """Owner of the child process. The engine's thread asks with :meth:`want`; ``deliver`` is called on this one."""

    def __init__(
        self, root: Path, model_path: str, dtype: str, threads: int, deliver: Callable[[int, Graph], None]
    ) -> None:
        self._store = GraphStore(root, model_path, dtype, threads)
        self._command = [
            *(sys.executable, "-P", "-m", "sage_infer_torch.graphs.child"),
            *(model_path, dtype, str(threads), str(root)),
        ]
        self._deliver = deliver
        self._wanted: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._child: subprocess.Popen[str] | None = None
        self._closing = False
        self._lock = threading.Lock()  # of _child and _closing: a child started while closing must end, too
        self._thread = threading.Thread(target=self._main, name="sage-infer-graphs", daemon=True)
        self._thread.start()

    def want(self, rows: int) -> None:
        """Fetch the graph for ``rows`` sequences when there is time."""
        self._wanted.put(rows)

    def keeps(self, rows: int) -> bool:
        """Whether the graph for ``rows`` sequences need not be compiled."""
        return self._store.path(rows).is_dir()

    def close(self) -> None:
        """End the child and the thread; what is half compiled is lost."""
        with self._lock:
            self._closing = True
            if self._child is not None:
                self._child.kill()
        self._wanted.put(None)
        self._thread.join(_END_TIMEOUT_S)

    def _main(self) -> None:
        try:
            while (rows := self._wanted.get()) is not None and not self._closing:
                self._fetch(rows)
        finally:
            if self._child is not None:
                self._child.kill()
                self._child.communicate()

    def _fetch(self, rows: int) -> None:
        try:
            if not self.keeps(rows):
                self._compile(rows)
            self._deliver(rows, self._load(rows))
        except Exception as error:  # noqa: BLE001 - boundary: without its graph a batch is computed eagerly
            if not self._closing:
                logger.warning(
                    "there is no compiled graph for decode batches of %d, they are computed eagerly: %s",
                    rows,
                    error,
                )

    def _compile(self, rows: int) -> None:
        child = self._running_child()
        assert child.stdin is not None
        assert child.stdout is not None
        print(rows, file=child.stdin, flush=True)
        answer = child.stdout.readline().strip()
        if answer != f"{DONE} {rows}":
            raise RuntimeError(answer or "the compiling process ended")

    def _running_child(self) -> subprocess.Popen[str]:
        with self._lock:
            if self._closing:
                raise RuntimeError("the engine is closing")
            if self._child is None:
                environment = os.environ | {"OMP_NUM_THREADS": self._command[-2]}
                self._child = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    env=environment,
                )
            return self._child

    def _load(self, rows: int) -> Graph:
        from torch._inductor import CompiledArtifact, config

        try:
            with config.patch({"compile_threads": 1}):
                graph: Graph = CompiledArtifact.load(path=str(self._store.path(rows)), format="unpacked")
        except Exception:
            self._store.remove(rows)
            raise
        return graph
