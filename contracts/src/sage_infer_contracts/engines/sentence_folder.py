"""Reads what a sentence-transformers folder asks for.

Formats: modules.json (list of idx, name, path, type), ``<pooling>/config.json`` (older: one flag per mode;
newer: ``pooling_mode``), sentence_bert_config.json (max_seq_length, do_lower_case) and
config_sentence_transformers.json (prompts).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from ..descriptors import PoolingType
from ..errors import InvalidRequest, Unsupported

_POOLING: dict[str, PoolingType] = {"mean": "mean", "cls": "cls", "lasttoken": "last"}
_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_KINDS = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
_PLAIN: dict[str, tuple[object, ...]] = {
    "transformer_task": (None, "feature-extraction"),
    "module_output_name": (None, "token_embeddings"),
    "query_length": (None,),
    "document_length": (None,),
    "query_expansion": (None,),
    "processing_kwargs": (None, {}),
    "model_args": (None, {}),
    "tokenizer_args": (None, {}),
    "config_args": (None, {}),
}
"""Settings of the transformer module that change vectors, with the values under which they do not."""


@attrs.frozen(slots=True)
class EncoderFolder:
    """What to load and how vectors are made of token states."""

    transformer: Path
    pooling: PoolingType
    normalize: bool
    max_tokens: int | None
    lower_case: bool
    prompt: str


def read_folder(folder: Path, *, pooling: PoolingType | None, normalize: bool | None) -> EncoderFolder:
    """Read ``folder``; the options ``pooling`` and ``normalize`` are for one that has no modules.json.

    Raises ``InvalidRequest`` when it is no such model and ``Unsupported`` naming the module or mode not served.
    """
    if not folder.is_dir():
        raise InvalidRequest(
            f"{folder} is not a folder; give the folder of an embedding model", param="model"
        )
    modules = _read_json(folder / "modules.json", list)
    if modules is None:
        return _plain_folder(folder, pooling, normalize)
    if pooling is not None or normalize is not None:
        raise InvalidRequest(
            f"{folder}/modules.json says how vectors are made; "
            "the options pooling and normalize are for folders without it",
            param="options.pooling",
        )
    return _modular_folder(folder, modules)


def _plain_folder(folder: Path, pooling: PoolingType | None, normalize: bool | None) -> EncoderFolder:
    if pooling is None:
        raise InvalidRequest(
            f"{folder} has no modules.json, so it does not say how vectors are made of token states; "
            "set the option pooling to mean, cls or last",
            param="options.pooling",
        )
    return EncoderFolder(folder, pooling, bool(normalize), None, False, "")


def _modular_folder(folder: Path, modules: list[Any]) -> EncoderFolder:
    kinds = [_module_kind(folder, module) for module in modules]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise Unsupported(
            f"{folder} chains the modules {', '.join(kinds)}; served are Transformer, Pooling and optionally Normalize",
            param="model",
        )
    paths = [_inside(folder, str(module.get("path", ""))) for module in modules]
    pooling = _read_json(paths[1] / "config.json", dict)
    if pooling is None:
        raise InvalidRequest(f"{paths[1]}/config.json is missing: the folder is incomplete", param="model")
    transformer = _transformer_settings(paths[0])
    if len(paths) == 3:
        _check_normalize(paths[2])
    return EncoderFolder(
        transformer=paths[0],
        pooling=_pooling_mode(paths[1], pooling),
        normalize=len(paths) == 3,
        max_tokens=_positive(paths[0], transformer.get("max_seq_length")),
        lower_case=bool(transformer.get("do_lower_case", False)),
        prompt=_default_prompt(folder, pooling),
    )


def _module_kind(folder: Path, module: Any) -> str:
    kind = str(module.get("type", "")) if isinstance(module, dict) else ""
    if not kind.startswith("sentence_transformers."):
        raise Unsupported(f"{folder} needs the module {kind!r}, which is code of its own", param="model")
    return kind.rpartition(".")[2]


def _inside(folder: Path, path: str) -> Path:
    joined = (folder / path).resolve()
    if not joined.is_relative_to(folder.resolve()):
        raise InvalidRequest(f"{folder}/modules.json points outside the folder: {path!r}", param="model")
    return joined


def _pooling_mode(path: Path, config: Mapping[str, Any]) -> PoolingType:
    mode = config.get("pooling_mode")
    if mode is None:
        modes = [name for flag, name in _POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    else:
        modes = [mode] if isinstance(mode, str) else list(mode)
    if len(modes) != 1 or modes[0] not in _POOLING:
        raise Unsupported(
            f"{path} pools by {' + '.join(map(str, modes))}; served are {', '.join(_POOLING)}", param="model"
        )
    return _POOLING[modes[0]]


def _transformer_settings(path: Path) -> dict[str, Any]:
    for kind in _KINDS:
        settings: dict[str, Any] | None = _read_json(path / f"sentence_{kind}_config.json", dict)
        if settings is not None:
            for name, plain in _PLAIN.items():
                if settings.get(name) not in plain:
                    raise Unsupported(
                        f"{path} sets {name} to {settings[name]!r}, which is not served", param="model"
                    )
            return settings
    return {}


def _check_normalize(path: Path) -> None:
    config = _read_json(path / "config.json", dict) or {}
    for name in ("module_input_name", "module_output_name"):
        if config.get(name) not in (None, "sentence_embedding"):
            raise Unsupported(
                f"{path} normalises {config[name]!r}; served is sentence_embedding", param="model"
            )


def _default_prompt(folder: Path, pooling: Mapping[str, Any]) -> str:
    config = _read_json(folder / "config_sentence_transformers.json", dict) or {}
    name = config.get("default_prompt_name")
    prompt = (config.get("prompts") or {}).get(name) or "" if name is not None else ""
    if prompt and pooling.get("include_prompt") is False:
        raise Unsupported(
            f"{folder} leaves its default prompt out of pooling, which is not served", param="model"
        )
    return str(prompt)


def _positive(path: Path, number: object) -> int | None:
    if number is None:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InvalidRequest(
            f"{path} has max_seq_length {number!r}; it must be a positive number", param="model"
        )
    return number


def _read_json(path: Path, kind: type) -> Any:
    """Return the file's content; None when there is no such file."""
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{path} cannot be read: {error}", param="model") from error
    if not isinstance(content, kind):
        raise InvalidRequest(f"{path} must hold a JSON {kind.__name__}", param="model")
    return content
