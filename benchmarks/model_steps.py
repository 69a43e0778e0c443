"""One step of the native engine's model: compiled, packed only, with plain weights, and transformers' own, in turns.

No scheduler, sampling or server: what is timed is the forward of a decode batch or of a prompt, over pages with KV in
them. Each figure also stands as a share of what the machine was seen to read or multiply in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from statistics import median
from typing import Any

import attrs
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from sage_infer.models import resolve_model
from sage_infer_torch.attention import KERNELS
from sage_infer_torch.batch import Batch, build_batch
from sage_infer_torch.device_cpu import CpuRuntime
from sage_infer_torch.graphs.decode import DecodeGraphs
from sage_infer_torch.graphs.store import cache_root
from sage_infer_torch.kv_pool import KVPool
from sage_infer_torch.model import LoadedModel, load_model
from sage_infer_torch.scheduler import Work
from sage_infer_torch.sequence import new_probe

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the modules beside this file, as a package

from benchmarks.engine_settings import cpu_model
from benchmarks.measuring import progress
from benchmarks.pairing import Estimate
from benchmarks.reporting import settings_text, table

ARMS = ("compiled", "packed", "plain", "transformers")
PAGE_TOKENS = 16
READ_BYTES = 1 << 29
MATRIX_ROWS = 2048

Step = Callable[[], object]


@attrs.frozen
class Point:
    """``batch`` sequences with ``context`` tokens of KV compute ``new`` tokens each."""

    name: str
    batch: int
    context: int
    new: int


POINTS = (
    Point("decode, batch 1", 1, 128, 1),
    Point("decode, batch 8", 8, 128, 1),
    Point("decode, batch 16", 16, 128, 1),
    Point("prefill, 512", 1, 0, 512),
)


class PlainWeights(CpuRuntime):
    """The CPU without a layout of its own."""

    def pack_linear(self, weight: Any, bias: Any) -> None:
        """Return None: torch's product is used."""
        return


def ids_of(point: Point) -> torch.Tensor:
    """Return token ids [batch, context + new]."""
    numbers = torch.arange(point.batch * (point.context + point.new))
    return (numbers * 7919 % 40_000 + 3).view(point.batch, -1)


def paged(model: LoadedModel, point: Point) -> Batch:
    """Return the step of the engine's model as a batch, with the KV of the context in place."""
    each = -(-(point.context + point.new) // PAGE_TOKENS)
    pool = KVPool(model.schema(PAGE_TOKENS), 1 + each * point.batch, dtype=model.dtype, device=model.device)
    probes = [
        new_probe(row, list(range(1 + at * each, 1 + (at + 1) * each)))
        for at, row in enumerate(ids_of(point).tolist())
    ]
    kernel = KERNELS[CpuRuntime().attention()]

    def batch_of(start: int, count: int) -> Batch:
        return build_batch([Work(probe, start, count) for probe in probes], pool, kernel, model.device)

    if point.context:
        model.forward(batch_of(0, point.context))
    return batch_of(point.context, point.new)


def compiled(graphs: DecodeGraphs, batch: Batch) -> Step:
    """Return the same step in its graph, once that is there."""
    while batch.singles not in graphs.ready:
        if graphs.forward(batch) is None:
            time.sleep(0.1)  # leave the cores to the compiler
    return lambda: graphs.forward(batch)


def unpaged(module: Any, point: Point) -> Step:
    """Return transformers' step, over its own cache."""
    ids = ids_of(point)
    cache = DynamicCache(config=module.config)
    if point.context:
        module(ids[:, : point.context], past_key_values=cache)

    def step() -> None:
        module(ids[:, point.context :], past_key_values=cache, logits_to_keep=1)
        cache.crop(-point.new)

    return step


def seconds(step: Step) -> float:
    """Time one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def limits(repeats: int) -> dict[str, float]:
    """Measure what the machine reads and multiplies: bytes and fp32 operations per second, the best of the repeats."""
    numbers = torch.ones(READ_BYTES // 4)
    left, right = torch.randn(2, MATRIX_ROWS, MATRIX_ROWS)
    runtime = CpuRuntime()
    product = runtime.pack_linear(right, None) or (lambda x: x @ right.T)
    return {
        "read_bytes_per_s": READ_BYTES / min(seconds(numbers.sum) for _ in range(repeats)),
        "operations_per_s": 2 * MATRIX_ROWS**3 / min(seconds(lambda: product(left)) for _ in range(repeats)),
    }


def share(point: Point, step_s: float, found: dict[str, float], parameters: int) -> float:
    """Return the share of the nearer limit: reading every weight once, or multiplying every weight by every row."""
    rows = point.batch * point.new
    reading_s = 4 * parameters / found["read_bytes_per_s"]
    computing_s = 2 * parameters * rows / found["operations_per_s"]
    return max(reading_s, computing_s) / step_s


def main() -> int:
    """Measure, print the table, and keep every sample where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", default="demo", help="a model as sage infer serve takes it")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", type=Path, help="also write every sample here")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    torch.set_num_threads(arguments.threads)
    path = resolve_model(arguments.llm, progress=lambda stage, _share: progress(stage)).path
    loaded = {
        name: load_model(
            path, runtime=runtime, device="cpu", dtype_name="fp32", kernel=KERNELS[runtime.attention()]
        )
        for name, runtime in (("packed", CpuRuntime()), ("plain", PlainWeights()))
    }
    module = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    graphs = DecodeGraphs(loaded["packed"], path, arguments.threads, cache_root(), patience=1)
    found = limits(arguments.repeats)
    parameters = sum(weight.numel() for weight in module.parameters())
    rows, kept = [], {}
    for point in POINTS:
        batches = {name: paged(model, point) for name, model in loaded.items()}
        steps: dict[str, Step] = {
            name: partial(loaded[name].forward, batch) for name, batch in batches.items()
        }
        if not point.context:
            ours = "packed"  # prompts are not compiled
        else:
            progress(f"{point.name}: compiling, or loading what was")
            ours, steps["compiled"] = "compiled", compiled(graphs, batches["packed"])
        steps["transformers"] = unpaged(module, point)
        times: dict[str, list[float]] = {name: [] for name in steps}
        for repeat in range(-1, arguments.repeats):
            progress(f"{point.name}: {repeat + 1}/{arguments.repeats}")
            order = list(steps) if repeat % 2 == 0 else list(steps)[::-1]
            for name in order:
                taken = seconds(steps[name])
                if repeat >= 0:
                    times[name].append(taken)
        kept[point.name] = times
        row = [point.name, *(f"{1e3 * median(times[name]):.1f}" if name in times else "-" for name in ARMS)]
        for other, than in (("plain", "packed"), ("packed", ours), ("transformers", ours)):
            ratio = Estimate.of([a / b for a, b in zip(times[other], times[than], strict=True)])
            row.append("-" if other == than else f"{ratio.middle:.2f} [{ratio.low:.2f}-{ratio.high:.2f}]")
        rows.append([*row, f"{100 * share(point, median(times[ours]), found, parameters):.0f} %"])
    graphs.close()
    settings = {
        "versions": ", ".join(
            f"{name} {version(name)}" for name in ("torch", "transformers", "sage-infer-torch")
        )
        + f", python {python_version()}",
        "machine": f"{cpu_model()}, {arguments.threads} threads; reads {found['read_bytes_per_s'] / 1e9:.1f} GB/s, "
        f"multiplies {found['operations_per_s'] / 1e9:.0f} GFLOP/s",
        "workload": f"{arguments.llm}, {parameters / 1e6:.0f} M parameters in fp32, context {POINTS[0].context}; "
        f"medians of {arguments.repeats} rounds in turns",
    }
    print(settings_text(settings))
    head = [
        "step",
        *(f"{name} ms" for name in ARMS),
        "plain / packed",
        "packed / ours",
        "transformers / ours",
        "of limit",
    ]
    print(table(head, rows))
    if arguments.json is not None:
        arguments.json.write_text(
            json.dumps({"settings": settings, "limits": found, "seconds": kept}, indent=1)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
