"""Loads an encoder through transformers and finds the most tokens it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.engines.sentence_folder import EncoderFolder
from sage_infer_contracts.engines.texts import most_tokens
from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest, SageInferError, Unsupported
from sage_infer_contracts.names import DType
from sage_infer_contracts.runtime import DeviceRuntime

from ..progress_bars import no_progress_bars


@attrs.frozen(slots=True)
class Loaded:
    """A model on its device, its tokenizer, and what was decided."""

    model: Any
    tokenizer: Any
    device: Any
    dtype: DType
    dimension: int
    max_tokens: int


def load(folder: EncoderFolder, config: BackendConfig, runtime: DeviceRuntime) -> Loaded:
    """Load onto the device; raises as :meth:`EmbeddingBackend.start` does."""
    runtime.prepare()
    runtime.set_threads(config.threads)
    device = runtime.device(config.device_ids[0])
    dtype: DType = runtime.dtypes()[0] if config.dtype == "auto" else config.dtype
    transformers = _transformers()
    path = str(folder.transformer)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=True)
        settings = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
        _check_architecture(settings, folder.transformer)
        with no_progress_bars():
            model = transformers.AutoModel.from_pretrained(
                path, config=settings, dtype=runtime.framework_dtype(dtype), local_files_only=True
            )
    except (SageInferError, MemoryError):
        raise
    except Exception as error:  # the boundary to transformers, whose refusals of a folder have no common type
        raise InvalidRequest(f"{path} cannot be loaded as an encoder: {error}", param="model") from error
    if folder.lower_case:
        _lower_first(tokenizer)
    positions = _positions(settings, model)
    max_tokens = most_tokens(folder, config.max_sequence_length, tokenizer, positions)
    return Loaded(model.to(device).eval(), tokenizer, device, dtype, int(settings.hidden_size), max_tokens)


def _transformers() -> Any:
    try:
        import transformers
    except (ImportError, OSError) as error:
        raise DeviceUnavailable(
            f"transformers cannot be imported ({error}); install it: pip install transformers",
            reason="no_transformers",
        ) from error
    return transformers


def _check_architecture(settings: Any, path: Path) -> None:
    if getattr(settings, "is_encoder_decoder", False):
        raise Unsupported(
            f"{path} is an encoder-decoder ({settings.model_type}); served are encoders", param="model"
        )
    if not hasattr(settings, "hidden_size"):
        raise Unsupported(f"{path} is a {settings.model_type} model, which has no hidden_size", param="model")


def _lower_first(tokenizer: Any) -> None:
    """Lower the text before anything else, where the tokenizer does not do so by itself."""
    from tokenizers import normalizers

    backend = tokenizer.backend_tokenizer
    present = backend.normalizer
    if _lowers(present):
        return
    steps = [normalizers.Lowercase()]
    if isinstance(present, normalizers.Sequence):
        steps += _steps(present)
    elif present is not None:
        steps.append(present)
    backend.normalizer = normalizers.Sequence(steps)


def _steps(sequence: Any) -> list[Any]:
    return [sequence[number] for number in range(len(sequence))]


def _lowers(normalizer: Any) -> bool:
    from tokenizers import normalizers

    if isinstance(normalizer, normalizers.Sequence):
        return any(_lowers(step) for step in _steps(normalizer))
    if isinstance(normalizer, normalizers.BertNormalizer):
        return bool(normalizer.lowercase)
    return isinstance(normalizer, normalizers.Lowercase)


def _positions(settings: Any, model: Any) -> int | None:
    """Return how many positions the model has; RoBERTa-like tables lose those up to the padding id."""
    declared = getattr(settings, "max_position_embeddings", None)
    if not isinstance(declared, int) or declared < 1:
        return None
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(getattr(module, "padding_idx", None), int):
            return int(module.num_embeddings - module.padding_idx - 1)
    return declared
