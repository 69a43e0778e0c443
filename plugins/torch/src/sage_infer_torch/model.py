"""Loading: from a folder to a model whose attention is ours, proven on a few tokens."""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path
from typing import Any

import attrs
import torch

from sage_infer_contracts.errors import InvalidRequest, SageInferError, Unsupported
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.names import DType
from sage_infer_contracts.runtime import DeviceRuntime

from .attention import ATTENTION_NAME, BATCH_ARGUMENT, Kernel, register
from .batch import Batch, build_batch
from .kv_pool import KVPool
from .packing import Product, pack_linears
from .progress_bars import no_progress_bars
from .scheduler import Work
from .sequence import new_probe
from .support import require_supported


@attrs.frozen(slots=True, eq=False)
class LoadedModel:
    """A causal language model on its device, and what the engine has to know of it."""

    module: Any
    tokenizer: Any
    device: Any
    dtype: torch.dtype
    dtype_name: DType
    vocabulary: int
    max_positions: int | None
    eos_token_ids: frozenset[int]
    fingerprint: str
    products: tuple[Product, ...]
    """The packed layers, as :func:`~sage_infer_torch.packing.pack_linears` returned them."""

    def schema(self, page_size: int) -> KVCacheSchema:
        """Return the format of KV pages of ``page_size`` tokens."""
        config = self.module.config
        heads = config.num_attention_heads
        return KVCacheSchema(
            dtype=self.dtype_name,
            page_size=page_size,
            num_layers=config.num_hidden_layers,
            num_heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        )

    def forward(self, batch: Batch) -> torch.Tensor:
        """Run one step and return logits [sampled rows, vocabulary]; the KV of all rows is in the pool then."""
        output = self.module(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            use_cache=False,
            logits_to_keep=batch.sample_rows,
            **{BATCH_ARGUMENT: batch},
        )
        logits: torch.Tensor = output.logits[0]
        return logits


def read_config(path: str) -> Any:
    """Return the transformers configuration of the folder ``path``, checked for support.

    Raises ``InvalidRequest`` when there is no model, ``Unsupported`` when it is not one for this engine.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    if not (Path(path) / "config.json").is_file():
        raise InvalidRequest(f"{path} holds no model: there is no config.json in it", param="model")
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True)
    except (ValueError, KeyError) as error:
        raise Unsupported(f"{path}: transformers does not know this model: {error}", param="model") from error
    except OSError as error:
        raise InvalidRequest(f"{path}: config.json cannot be read: {error}", param="model") from error
    mapping = AutoModelForCausalLM._model_mapping
    require_supported(config, mapping.get(type(config), None))
    return config


def load_model(
    path: str, *, runtime: DeviceRuntime, device: Any, dtype_name: DType, kernel: Kernel
) -> LoadedModel:
    """Load the model in ``path``, pack its weights, and prove that it still computes what it did, over pages.

    Raises ``InvalidRequest`` for files that cannot be loaded, ``Unsupported`` for a model paging cannot serve.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    config = read_config(path)
    dtype = runtime.framework_dtype(dtype_name)
    try:
        with no_progress_bars():
            module: Any = AutoModelForCausalLM.from_pretrained(
                path,
                config=config,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                attn_implementation="eager",
            )
            tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise InvalidRequest(f"{path}: the model cannot be loaded: {error}", param="model") from error
    module = module.to(device).eval()
    if "logits_to_keep" not in inspect.signature(module.forward).parameters:
        raise Unsupported(
            f"{type(module).__name__} cannot compute the logits of chosen rows only", param="model"
        )
    ids = [(index * 7919 + 11) % config.vocab_size for index in range(_PROOF_TOKENS)]
    plain = torch.tensor([ids], device=device)
    expected, products = pack_linears(
        module, runtime, lambda: module(input_ids=plain, use_cache=False).logits[0]
    )
    model = LoadedModel(
        module=module,
        tokenizer=tokenizer,
        device=device,
        dtype=dtype,
        dtype_name=dtype_name,
        vocabulary=config.vocab_size,
        max_positions=getattr(config, "max_position_embeddings", None),
        eos_token_ids=_eos_token_ids(module, tokenizer),
        fingerprint=_fingerprint(path, dtype_name),
        products=products,
    )
    _prove(model, kernel, ids, expected)
    return model


def _eos_token_ids(module: Any, tokenizer: Any) -> frozenset[int]:
    """The generation configuration decides, as in transformers; the tokenizer where it is silent."""
    declared = getattr(module.generation_config, "eos_token_id", None)
    if declared is None:
        declared = tokenizer.eos_token_id
    if declared is None:
        return frozenset()
    return frozenset(declared if isinstance(declared, list | tuple) else [declared])


def _fingerprint(path: str, dtype_name: str) -> str:
    """Digest of what decides KV values here: configuration, weight files (size and time), dtype."""
    digest = hashlib.sha256(dtype_name.encode() + (Path(path) / "config.json").read_bytes())
    for file in sorted(Path(path).glob("*.safetensors")):
        facts = file.stat()
        digest.update(f"{file.name}:{facts.st_size}:{facts.st_mtime_ns};".encode())
    return digest.hexdigest()


_PROOF_TOKENS, _PROOF_PAGE = 9, 4
PROOF_TOLERANCE: dict[str, float] = {"fp32": 1e-3, "fp16": 2e-2, "bf16": 1e-1}
"""Largest difference of logits, relative to the largest logit: rounding, far below a wrong mask's effect."""


def _prove(model: LoadedModel, kernel: Kernel, ids: list[int], expected: torch.Tensor) -> None:
    """Compare paged, chunked logits with those of the model as it was; then leave it on paged attention.

    Runs, like all of this module, under the engine thread's inference mode.
    """
    register()
    model.module.set_attn_implementation(ATTENTION_NAME)
    name = type(model.module).__name__
    try:
        actual = _paged_logits(model, ids, kernel)
    except SageInferError:
        raise
    except RuntimeError as error:
        raise Unsupported(f"{name} cannot run over paged KV: {error}", param="model") from error
    difference = (actual - expected[[4, 7, 8]]).abs().max().item() / expected.abs().max().item()
    if not difference <= PROOF_TOLERANCE[model.dtype_name]:
        raise Unsupported(
            f"{name} is not supported by the torch engine: over paged KV its logits differ from its own by "
            f"{difference:.2g} of the largest",
            param="model",
        )


def _paged_logits(model: LoadedModel, ids: list[int], kernel: Kernel) -> torch.Tensor:
    """Run ``ids`` in pieces of 5, 3 and 1 over a small pool; return the logits at the end of each."""
    schema = model.schema(_PROOF_PAGE)
    pages = -(-len(ids) // _PROOF_PAGE)
    pool = KVPool(schema, pages, dtype=model.dtype, device=model.device)
    logits: list[torch.Tensor] = []
    for start, stop in ((0, 5), (5, 8), (8, 9)):
        probe = new_probe(ids[:stop], list(range(pages)))
        batch = build_batch([Work(probe, start, stop - start)], pool, kernel, model.device)
        logits.append(model.forward(batch))
        if len(batch.layers_seen) != schema.num_layers:
            raise Unsupported(
                f"{type(model.module).__name__} sent {len(batch.layers_seen)} of {schema.num_layers} layers "
                f"through the attention registry",
                param="model",
            )
    return torch.cat(logits)
