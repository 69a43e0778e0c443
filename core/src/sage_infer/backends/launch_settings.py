"""What a launch asks for, as one flat mapping that refusals are held against."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.launch import EngineLaunchPlan

from .model_facts import model_facts

_SAME = {
    "block_size": "kv_schema.page_size",
    "kv_cache_dtype": "kv_schema.dtype",
    "max_model_len": "max_sequence_length",
    "max_num_seqs": "max_batch_size",
    "max_num_batched_tokens": "max_batched_tokens",
}
"""Names that engines have for fields of the contract; a refusal may use either."""

_DTYPE_SETTINGS = frozenset({"dtype", "kv_schema.dtype"})
_DTYPES = {
    "float32": "fp32",
    "float": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "fp8": "fp8_e4m3",
}
_NOT_ASKED = frozenset({"auto", ""})


def asked_settings(
    config: BackendConfig,
    plan: EngineLaunchPlan | None = None,
    *,
    engine: str | None = None,
    capabilities: Collection[str] = (),
) -> dict[str, str]:
    """Flatten what is asked for; what is not asked for, or left to the engine with ``auto``, is not in it.

    Fields of ``config`` go by their dotted path, options by their names, ``ENGINE.X`` as ``X``, the engine as
    ``engine``, capabilities that will be used by their names with the value ``true``, and the model by what
    :func:`model_facts` reads. Options win over fields, and both over the plan's own arguments.
    """
    facts = model_facts(config.model.path)
    if config.dtype != "auto":
        facts.pop("model.dtype", None)  # it decides nothing then
    settings = dict(facts)
    for layer in (plan.arguments if plan is not None else {}, _fields(config), _options(config, engine)):
        settings.update(_canonical(layer))
    if engine is not None:
        settings["engine"] = engine
    settings.update(dict.fromkeys({*capabilities, *_implied(config)}, "true"))
    return settings | {name: settings[same] for name, same in _SAME.items() if same in settings}


def _fields(config: BackendConfig) -> dict[str, object]:
    dumped = config.model_dump(mode="json", exclude_none=True, exclude={"options", "schema_version"})
    return dict(_flat("", dumped))


def _flat(prefix: str, value: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(f"{prefix}{name}.", item)
        elif name != "schema_version":
            yield f"{prefix}{name}", item


def _options(config: BackendConfig, engine: str | None) -> dict[str, object]:
    options = {name: value for name, value in config.options.items() if value is not None}
    own = f"{engine}." if engine is not None else None
    through = {
        name.removeprefix(own): value for name, value in options.items() if own and name.startswith(own)
    }
    return {**options, **through}


def _canonical(layer: Mapping[str, object]) -> dict[str, str]:
    settings = {}
    for name, value in layer.items():
        setting = _SAME.get(name, name)
        text = _text(value)
        if setting in _DTYPE_SETTINGS:
            text = _DTYPES.get(text, text)
        if text not in _NOT_ASKED:
            settings[setting] = text
    return settings


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _implied(config: BackendConfig) -> Iterator[str]:
    if config.tensor_parallel_size > 1:
        yield Capability.BACKEND_TENSOR_PARALLEL
    if config.model.model_type == "embedding":
        yield Capability.BACKEND_EMBEDDING
