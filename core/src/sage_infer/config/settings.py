"""Every configuration key, its type, its default and what it means.

The top level is sections only, so that every key has a flag-like name ``section.key``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from sage_infer.serving.settings import ServingSettings
from sage_infer_contracts.backend import OptionValue
from sage_infer_contracts.kv import KV_SCHEMA_PRESETS, KVSchemaRequest, ScaleGranularity
from sage_infer_contracts.names import DType, HardwareName
from sage_infer_contracts.transport import TransportPreset
from sage_infer_contracts.wire import FrozenModel


def _one_or_many(value: object) -> object:
    """Let ``demo`` stand for ``[demo]``."""
    return [value] if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]


class Section(FrozenModel):
    """A part of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), validate_default=True)


class InferenceSection(Section):
    """Which engine runs which models, and on what."""

    backend: str = Field(
        default="torch", description="inference backend: a plugin's name, dist:name, or auto"
    )
    llm: Names = Field(
        default=("demo",), description="language models to serve: folders, model sources or hub ids"
    )
    embedding: Names = Field(default=(), description="embedding models to serve")
    embedding_backend: str = Field(default="torch", description="backend of the embedding models")
    isolation: Literal["process", "inline"] = Field(
        default="process", description="process: a worker per model; inline: in the server's own process"
    )
    offline: bool = Field(default=False, description="never touch the network to find a model")
    device: HardwareName = Field(default="cpu", description="hardware the engine runs on")
    device_ids: tuple[NonNegativeInt, ...] = Field(default=(0,), description="logical devices")
    dtype: DType | Literal["auto"] = Field(default="auto", description="precision of the weights")
    max_sequence_length: PositiveInt | None = Field(
        default=None, description="tokens of prompt and answer together; null: the model's own limit"
    )
    max_batch_size: PositiveInt | None = Field(
        default=None, description="sequences that run at once; null: the engine's choice"
    )
    max_batched_tokens: PositiveInt | None = Field(
        default=None, description="token budget of one engine step; null: the engine's choice"
    )
    max_waiting_requests: NonNegativeInt | None = Field(
        default=None, description="bound of the engine's own queue; null: the engine's choice"
    )
    kv_cache_memory_bytes: PositiveInt | None = Field(
        default=None, description="size of the KV pool; null: the engine's choice"
    )
    tensor_parallel_size: PositiveInt = Field(default=1, description="devices one model is split over")
    threads: PositiveInt | None = Field(
        default=None, description="CPU threads of each engine; null: the device's choice"
    )
    options: dict[str, OptionValue] = Field(
        default_factory=dict, description="the backend's own options, by its own names"
    )


class KVSchemaSection(Section):
    """The KV format to ask for. A backend honours it or refuses."""

    preset: Literal[tuple(KV_SCHEMA_PRESETS)] | None = Field(  # type: ignore[valid-type]
        default=None, description=f"one of {', '.join(KV_SCHEMA_PRESETS)}; null: the backend's own format"
    )
    dtype: DType | None = Field(default=None, description="overrides the preset's dtype")
    page_size: PositiveInt | None = Field(default=None, description="tokens per block")
    scale_dtype: Literal["fp16", "fp32", "int8"] | None = Field(
        default=None, description="dtype of the scales of quantised KV"
    )
    scale_granularity: ScaleGranularity | None = Field(
        default=None, description="how many elements share a scale"
    )

    def request(self) -> KVSchemaRequest | None:
        """Return what is asked of the backend, None when nothing is."""
        base = KV_SCHEMA_PRESETS[self.preset].model_dump(exclude_none=True) if self.preset else {}
        fields = {**base, **self.model_dump(exclude_none=True, exclude={"preset"})}
        return KVSchemaRequest.model_validate(fields) if fields else None


_PRESETS = {
    "local": TransportPreset(engine="shm"),
    "network": TransportPreset(engine="tcp", deadline_s=60.0),
}


class TransportSection(Section):
    """How KV moves between instances."""

    preset: str | None = Field(
        default=None, description="preset in use; null, the one choice so far: each instance keeps its KV"
    )
    presets: dict[str, TransportPreset] = Field(
        default=_PRESETS, description="named choices of a transport engine and its limits"
    )

    @model_validator(mode="after")
    def _preset_exists(self) -> Self:
        if self.preset is not None and self.preset not in self.presets:
            raise ValueError(
                f"preset {self.preset!r} is not among presets: {', '.join(self.presets) or 'none'}"
            )
        return self


class LimitsSection(Section):
    """What the control plane lets in."""

    max_queued_requests: PositiveInt = Field(
        default=256, description="sequences that wait per model; beyond it requests get 503"
    )
    request_timeout_s: PositiveFloat = Field(
        default=600.0, description="time a request has, queueing and running together"
    )


class WorkerSection(Section):
    """Worker processes."""

    start_timeout_s: PositiveFloat = Field(default=900.0, description="time a worker has to load its model")
    close_timeout_s: PositiveFloat = Field(
        default=15.0, description="time a backend has to close before its process is ended"
    )
    restart_on_failure: bool = Field(default=True, description="whether a worker that died is started again")
    max_restarts: NonNegativeInt = Field(
        default=3, description="restarts in a row; one that stays up for ten minutes starts the count anew"
    )
    restart_backoff_s: NonNegativeFloat = Field(
        default=1.0, description="wait before the first restart, doubled for each one after"
    )


class LoggingSection(Section):
    """Logs and traces."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least severity")
    format: Literal["console", "json"] = Field(default="console", description="for people, or for machines")
    otel_endpoint: str | None = Field(default=None, description="OTLP/HTTP traces URL; null: no tracing")


class PluginsSection(Section):
    """Which plugins may load."""

    allowlist: Names | None = Field(
        default=None, description="names or dist:name that may load; null: all that are installed"
    )
    autoload: bool = Field(default=True, description="whether hooks load without being on the allowlist")


class Settings(Section):
    """The whole configuration."""

    inference: InferenceSection = InferenceSection()
    kv_schema: KVSchemaSection = KVSchemaSection()
    transport: TransportSection = TransportSection()
    serving: ServingSettings = ServingSettings()
    limits: LimitsSection = LimitsSection()
    worker: WorkerSection = WorkerSection()
    logging: LoggingSection = LoggingSection()
    plugins: PluginsSection = PluginsSection()


def value_shape(name: str) -> Literal["text", "texts", "other"]:
    """Say whether ``section.key`` holds text or a list of texts, so that a variable's value can be read as such."""
    section, _, key = name.partition(".")
    part = Settings.model_fields.get(section)
    schemas = {} if part is None else part.annotation.model_json_schema()["properties"]  # type: ignore[union-attr]
    found = schemas.get(key, {})
    for kind in found.get("anyOf", [found]):
        if kind.get("type") == "string" and "enum" not in kind:
            return "text"
        if kind.get("type") == "array" and kind["items"].get("type") == "string":
            return "texts"
    return "other"


def known_keys() -> dict[str, str]:
    """Return every ``section.key`` and its description, in the order of the file."""
    return {
        f"{section}.{key}": field.description or ""
        for section, part in Settings.model_fields.items()
        for key, field in part.annotation.model_fields.items()  # type: ignore[union-attr]
    }
