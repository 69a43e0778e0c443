"""Tracing: a model's decode step for one batch size as a graph, without its weights. Runs in the child process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..model import read_config
from ..packing import pack_linears
from .operators import TRACED_ATTENTION, product, traced_attention
from .tensors import named_tensors

_SETTINGS = {
    "cpp.min_chunk_size": 65536,  # a shorter loop is not worth waking a second thread for
    "compile_threads": 1,
}


class DecodeTracer:
    """The skeleton of a model: its modules without memory behind them, packed as the engine packs the real ones."""

    def __init__(self, path: str, dtype: torch.dtype) -> None:
        from transformers import AttentionInterface, AutoModelForCausalLM

        AttentionInterface.register(TRACED_ATTENTION, traced_attention)
        config = read_config(path)
        with torch.device("meta"):
            module: Any = AutoModelForCausalLM.from_config(
                config, dtype=dtype, attn_implementation=TRACED_ATTENTION
            )
            ids = torch.zeros(1, 9, dtype=torch.long)
        self._module = module.eval()
        pack_linears(module, _Recorder(), lambda: module(input_ids=ids, use_cache=False).logits[0])
        self.names, tensors = named_tensors(module)
        # Memory that nobody writes to never becomes resident.
        self._tensors = [torch.empty_like(tensor, device="cpu") for tensor in tensors]

    def compile(self, rows: int, path: Path) -> None:
        """Compile the step of ``rows`` sequences into the folder ``path``.

        Takes the model's tensors, in the order of :attr:`names`, and ids and positions [1, rows], int64; gives
        logits [rows, vocabulary].
        """
        from torch._inductor import CompiledArtifact, config, standalone_compile
        from torch.fx.experimental.proxy_tensor import make_fx

        numbers = [torch.zeros(1, rows, dtype=torch.long) for _ in range(2)]
        inputs = [*self._tensors, *numbers]
        graph = make_fx(self._step, tracing_mode="fake")(*inputs)
        with config.patch(_SETTINGS):
            compiled = standalone_compile(graph, inputs, dynamic_shapes="from_example_inputs")
            compiled.save(path=str(path), format="unpacked")
            # What is saved lacks the machine code. Loading compiles it into the folder, once, and here rather than
            # in the engine.
            CompiledArtifact.load(path=str(path), format="unpacked")

    def _step(self, *inputs: torch.Tensor) -> torch.Tensor:
        *tensors, ids, positions = inputs
        output = torch.func.functional_call(
            self._module,
            dict(zip(self.names, tensors, strict=True)),
            (),
            {"input_ids": ids, "position_ids": positions, "use_cache": False},
        )
        logits: torch.Tensor = output.logits[0]
        return logits


class _Recorder:
    """A device whose products are the operator's, numbered in the order of packing."""

    def __init__(self) -> None:
        self._packed = 0

    def pack_linear(self, weight: torch.Tensor, bias: torch.Tensor | None) -> Callable[[Any], Any]:
        index, out_features = self._packed, weight.shape[0]
        self._packed += 1
        return lambda x: product(x, index, out_features)
