"""Names and values that refusals are held against, as a host gives them. A refusal of any other can never hold."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import get_args

from pydantic import BaseModel

from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.kv import KVSchemaRequest
from sage_infer_contracts.names import DType

ENGINE = "engine"
PAGE_SIZE, KV_DTYPE = "kv_schema.page_size", "kv_schema.dtype"
SAME: Mapping[str, str] = {
    "block_size": PAGE_SIZE,
    "kv_cache_dtype": KV_DTYPE,
    "max_model_len": "max_sequence_length",
    "max_num_seqs": "max_batch_size",
    "max_num_batched_tokens": "max_batched_tokens",
}
"""Names that engines have for fields of the contract; what is given under one is given under both."""
_NOT_ASKED = frozenset({"schema_version", "options", "model", "kv_schema"})
_DTYPES = frozenset(get_args(DType))
_CAPABILITIES = frozenset(str(one) for one in Capability)
_MODEL_FACTS = frozenset({"model.type", "model.attention", "model.dtype", "model.weights"})
"""What a host reads from a checkpoint's config.json, beside ``quantization``."""
_VALUES: Mapping[str, frozenset[str]] = {
    "dtype": _DTYPES,
    KV_DTYPE: _DTYPES,
    "model.dtype": frozenset({"fp32", "fp16", "bf16"}),
    "model.attention": frozenset({"mla", "mha", "gqa"}),
    **dict.fromkeys(_CAPABILITIES, frozenset({"true"})),
}
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "model.weights": re.compile(r"(fp|int)[0-9]{1,2}"),
    PAGE_SIZE: re.compile(r"[1-9][0-9]{0,9}", re.ASCII),
}
_OPTION = re.compile(r"[a-z][a-z0-9_]*")
_NOT_SPELLED_SO = frozenset({"True", "False", "None", ""})


def _fields() -> Iterator[str]:
    nested: dict[str, type[BaseModel]] = {
        "": BackendConfig,
        "model.": ModelLocation,
        "kv_schema.": KVSchemaRequest,
    }
    for prefix, model in nested.items():
        yield from (f"{prefix}{name}" for name in model.model_fields if f"{prefix}{name}" not in _NOT_ASKED)


KNOWN = frozenset({*_fields(), *_CAPABILITIES, *_MODEL_FACTS, *SAME, ENGINE, "quantization"})
"""Names that mean the same for every engine; other names without a dot are options of one."""
_PARTS = {name.rpartition(".")[2]: name for name in sorted(KNOWN) if "." in name}


def canonical(name: str) -> str:
    """Return the contract's name of a setting."""
    return SAME.get(name, name)


def fault_of_name(name: str, distribution: str) -> str | None:
    """Say why no host gives a setting of this name; a capability of the plugin's own begins with its distribution."""
    if name in KNOWN or name.startswith(f"{distribution}."):
        return None
    if name in _PARTS:
        return f"no host gives a setting {name!r}; there is {_PARTS[name]!r}"
    if not _OPTION.fullmatch(name):
        return f"no host gives a setting {name!r}"
    return None


def fault_of_value(name: str, value: str, engines: tuple[str, ...]) -> str | None:
    """Say why the setting never has this value."""
    setting = canonical(name)
    known = frozenset(engines) if setting == ENGINE else _VALUES.get(setting)
    if known is not None and value not in known:
        return f"{name} is never {value!r}, but one of {', '.join(sorted(known))}"
    pattern = _PATTERNS.get(setting)
    if value in _NOT_SPELLED_SO or (pattern is not None and not pattern.fullmatch(value)):
        return f"{name} is never spelled {value!r}"
    return None


def values_beyond(name: str, allowed: tuple[str, ...]) -> str | None:
    """Return a value that the setting may have and that is not allowed; None where all are."""
    setting = canonical(name)
    if setting in _VALUES:
        return next(iter(sorted(_VALUES[setting] - set(allowed))), None)
    if setting == PAGE_SIZE:
        return str(1 + max((int(one) for one in allowed if one.isdigit()), default=0))
    return "another"


def with_both_names(settings: Mapping[str, str]) -> dict[str, str]:
    """Return ``settings``, which go by the contract's names, as a host gives them: under the engines' names, too."""
    return {**settings, **{name: settings[same] for name, same in SAME.items() if same in settings}}
