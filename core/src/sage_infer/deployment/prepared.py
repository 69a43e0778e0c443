"""The models a configuration names, found on this machine, with the backend configuration of each."""

from __future__ import annotations

from typing import Literal

import attrs

from sage_infer.config import Settings
from sage_infer.models import resolve_model
from sage_infer.plugins import Catalog, Registry
from sage_infer_contracts.backend import BackendConfig, ModelLocation
from sage_infer_contracts.errors import InvalidRequest, Unsupported
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.models import ProgressCallback


@attrs.frozen(slots=True)
class PreparedModel:
    """One model to open, by which backend and how."""

    kind: Literal["llm", "embedding"]
    backend: str
    config: BackendConfig


def registry_of(settings: Settings) -> Registry:
    """Return the registry under the configured allowlist."""
    allowlist = settings.plugins.allowlist
    return Registry(
        Catalog.scan(),
        allowlist=None if allowlist is None else frozenset(allowlist),
        autoload=settings.plugins.autoload,
    )


def prepare_models(settings: Settings, registry: Registry, progress: ProgressCallback) -> list[PreparedModel]:
    """Resolve every configured model; blocks while one is prepared or downloaded.

    Raises ``InvalidRequest`` when nothing is to be served, a model is of the other kind, or two share a name;
    ``PluginNotFound`` or ``Unsupported`` when a transport preset is selected.
    """
    _refuse_transport(settings, registry)
    wanted = [("llm", name) for name in settings.inference.llm]
    wanted += [("embedding", name) for name in settings.inference.embedding]
    if not wanted:
        raise InvalidRequest("no model to serve; name one with --llm or --embedding", param="inference.llm")
    models: list[PreparedModel] = []
    for kind, name in wanted:
        location = resolve_model(
            name, offline=settings.inference.offline, progress=progress, registry=registry
        )
        if (location.model_type == "embedding") != (kind == "embedding"):
            flag = "--embedding" if location.model_type == "embedding" else "--llm"
            raise InvalidRequest(f"{name} is of type {location.model_type}; serve it with {flag}", param=kind)
        if any(other.config.model.model_id == location.model_id for other in models):
            raise InvalidRequest(f"two models are called {location.model_id!r}", param=kind)
        models.append(_llm(settings, location) if kind == "llm" else _embedding(settings, location))
    return models


def _refuse_transport(settings: Settings, registry: Registry) -> None:
    """A preset that would move nothing is refused, not ignored: every instance keeps its KV to itself so far."""
    name = settings.transport.preset
    if name is None:
        return
    registry.find(PluginKind.TRANSPORT, settings.transport.presets[name].engine)
    raise Unsupported(
        f"transport.preset {name!r}: no part of this version moves KV between instances; set it to null",
        param="transport.preset",
    )


def _llm(settings: Settings, location: ModelLocation) -> PreparedModel:
    inference = settings.inference
    config = BackendConfig(
        model=location,
        device=inference.device,
        device_ids=inference.device_ids,
        dtype=inference.dtype,
        max_sequence_length=inference.max_sequence_length,
        max_batch_size=inference.max_batch_size,
        max_batched_tokens=inference.max_batched_tokens,
        max_waiting_requests=inference.max_waiting_requests,
        kv_cache_memory_bytes=inference.kv_cache_memory_bytes,
        kv_schema=settings.kv_schema.request(),
        tensor_parallel_size=inference.tensor_parallel_size,
        threads=inference.threads,
        options=inference.options,
    )
    return PreparedModel("llm", inference.backend, config)


def _embedding(settings: Settings, location: ModelLocation) -> PreparedModel:
    # Sequence, batch and KV settings are those of the language models; an embedding model brings its own.
    inference = settings.inference
    config = BackendConfig(
        model=location,
        device=inference.device,
        device_ids=inference.device_ids,
        dtype=inference.dtype,
        threads=inference.threads,
    )
    return PreparedModel("embedding", inference.embedding_backend, config)
