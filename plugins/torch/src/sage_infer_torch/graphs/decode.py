"""DecodeGraphs: which steps run compiled."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from ..batch import Batch
from ..model import PROOF_TOLERANCE, LoadedModel
from .compiler import Graph, GraphCompiler
from .operators import step
from .tensors import named_tensors

logger = logging.getLogger(__name__)
KEPT_AFTER_STEPS = 64
"""Eager steps before a graph that is kept already is loaded: loading the first one takes seconds, too."""

LARGEST_ROWS = 64
"""Larger batches were not measured; at 16 a graph gains little already."""


class DecodeGraphs:
    """Compiled steps for batches of 1, 2, 4, ... sequences with one token each; smaller batches are padded.

    A size is worth compiling once it ran ``patience`` steps eagerly, and loading after fewer where the graph is kept;
    it stays eager until the graph is there. The first step of a graph is computed both ways, and a graph that differs
    is not used.
    All but ``_arrived`` belongs to the engine's thread.
    """

    def __init__(self, model: LoadedModel, path: str, threads: int, root: Path, *, patience: int) -> None:
        self._model = model
        self._tensors = named_tensors(model.module)[1]
        self._patience = patience
        self._eager_steps: dict[int, int] = {}
        self._ready: dict[int, Graph] = {}
        self._arrived: dict[int, Graph] = {}
        dtype = str(model.dtype).removeprefix("torch.")
        self._compiler = GraphCompiler(root, path, dtype, threads, self._arrived.__setitem__)
        self.steps = 0

    @property
    def ready(self) -> tuple[int, ...]:
        """Batch sizes that run compiled."""
        return tuple(sorted(self._ready))

    def forward(self, batch: Batch) -> torch.Tensor | None:
        """Return logits [sampled rows, vocabulary]; None when the step is to be computed eagerly."""
        if batch.chunks or batch.singles > LARGEST_ROWS:
            return None
        rows = 1 << (batch.singles - 1).bit_length()
        graph = self._ready.get(rows)
        if graph is not None:
            self.steps += 1
            return self._run(graph, batch, rows)
        if rows in self._arrived:
            return self._first(batch, rows)
        seen = self._eager_steps[rows] = self._eager_steps.get(rows, 0) + 1
        if seen == self._patience or (
            seen == min(KEPT_AFTER_STEPS, self._patience) and self._compiler.keeps(rows)
        ):
            self._compiler.want(rows)
        return None

    def close(self) -> None:
        """End what compiles."""
        self._compiler.close()

    def _first(self, batch: Batch, rows: int) -> torch.Tensor:
        graph = self._arrived.pop(rows)
        self._eager_steps[rows] = self._patience  # it is not asked for again
        expected = self._model.forward(batch)
        try:
            actual = self._run(graph, batch, rows)
        except Exception as error:  # noqa: BLE001 - boundary: the eager result is there, nothing is lost
            logger.error("the compiled graph for decode batches of %d fails, it is not used: %s", rows, error)
            return expected
        largest = expected.abs().max().item() if expected.numel() else 1.0
        difference = (actual - expected).abs().max().item() / largest if expected.numel() else 0.0
        if difference <= PROOF_TOLERANCE[self._model.dtype_name]:
            self._ready[rows] = graph
        else:
            logger.error(
                "the compiled graph for decode batches of %d differs from the model by %.2g, it is not used",
                rows,
                difference,
            )
        return expected

    def _run(self, graph: Graph, batch: Batch, rows: int) -> torch.Tensor:
        ids, positions = (_padded(tensor, rows) for tensor in (batch.input_ids, batch.position_ids))
        with step(batch, self._model.products):
            logits = graph(*self._tensors, ids, positions)[0]
        return logits[batch.sample_rows]


def _padded(tensor: torch.Tensor, rows: int) -> torch.Tensor:
    """Return ``tensor`` [1, tokens] with zeros up to ``rows``."""
    return torch.nn.functional.pad(tensor, (0, rows - tensor.shape[1]))
