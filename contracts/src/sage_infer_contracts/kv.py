"""How the KV cache is laid out: schema, groups, layouts, and the request for one."""

from __future__ import annotations

import hashlib
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from .names import DTYPE_BITS, DType
from .wire import FrozenModel, WireModel

GroupKind = Literal["full", "sliding_window", "mla", "hybrid"]
ScaleGranularity = Literal["none", "tensor", "token_head"]
Axis = Literal["block", "kv", "token", "head", "dim"]
_QUANTISED = ("fp8_e4m3", "fp8_e5m2", "int8", "int4")


class KVLayout(FrozenModel):
    """Order of the axes of one layer's KV tensor, slowest first.

    ``("kv", "block", "token", "head", "dim")`` is two tensors of pages; vLLM's CPU layout is
    ``("block", "head", "kv", "token", "dim")``. Kernels of some engines reorder elements further; ``packing`` then
    names whose order it is, and blocks are interchangeable only under the same name.
    """

    axes: tuple[Axis, ...] = ("kv", "block", "token", "head", "dim")
    packing: str = Field(default="", description="an engine's own order inside the axes; empty: plain")

    @model_validator(mode="after")
    def _is_permutation(self) -> Self:
        if sorted(self.axes) != ["block", "dim", "head", "kv", "token"]:
            raise ValueError(f"a KV layout orders each of block, kv, token, head, dim once; got {self.axes}")
        return self


class KVGroup(FrozenModel):
    """Layers that share one shape and one block table."""

    kind: GroupKind = "full"
    num_layers: PositiveInt
    num_heads: PositiveInt = Field(description="KV heads per layer (not query heads); 1 for MLA")
    head_dim: PositiveInt = Field(description="elements per head; for MLA the latent width")
    window_tokens: PositiveInt | None = Field(default=None, description="sliding window, in tokens")
    layout: KVLayout = KVLayout()

    @model_validator(mode="after")
    def _window_matches_kind(self) -> Self:
        if (self.kind == "sliding_window") != (self.window_tokens is not None):
            raise ValueError("window_tokens is set for sliding_window groups and for no other kind")
        return self

    @property
    def elements_per_token(self) -> int:
        """Stored elements per token over all layers: K and V, or one latent for MLA."""
        copies = 1 if self.kind == "mla" else 2
        return copies * self.num_layers * self.num_heads * self.head_dim

    @property
    def scales_per_token(self) -> int:
        """Scales per token when one scale is kept per token and head."""
        copies = 1 if self.kind == "mla" else 2
        return copies * self.num_layers * self.num_heads


class KVCacheSchema(WireModel):
    """Format of stored KV. The seed's fields are the view of a single-group model.

    For a model with several groups, ``num_layers`` is their total and ``num_heads``/``head_dim`` are those
    of the first group.
    """

    dtype: DType
    page_size: PositiveInt = Field(description="tokens per block")
    num_layers: PositiveInt
    num_heads: PositiveInt = Field(description="KV heads (not query heads)")
    head_dim: PositiveInt
    scale_dtype: Literal["fp16", "fp32", "int8"] = "fp32"
    layout: Literal["paged", "contiguous"] = "paged"
    scale_granularity: ScaleGranularity = "none"
    groups: tuple[KVGroup, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scale_granularity != "none" and self.dtype not in _QUANTISED:
            raise ValueError(f"{self.dtype} KV has no scales; scale_granularity must be 'none'")
        first = self.all_groups[0]
        total_layers = sum(group.num_layers for group in self.all_groups)
        if (self.num_layers, self.num_heads, self.head_dim) != (
            total_layers,
            first.num_heads,
            first.head_dim,
        ):
            raise ValueError(
                "num_layers must be the groups' total, num_heads and head_dim those of the first group"
            )
        if self.dtype == "int4" and any(group.elements_per_token % 2 for group in self.all_groups):
            raise ValueError("int4 KV needs an even number of elements per token")
        return self

    @property
    def all_groups(self) -> tuple[KVGroup, ...]:
        """The groups, or the one group that the seed's fields describe."""
        if self.groups:
            return self.groups
        return (KVGroup(num_layers=self.num_layers, num_heads=self.num_heads, head_dim=self.head_dim),)

    @property
    def bytes_per_token(self) -> int:
        """Bytes one token occupies over all layers and groups, scales included."""
        elements = sum(group.elements_per_token for group in self.all_groups)
        scales = 0
        if self.scale_granularity == "token_head":
            scales = (
                sum(group.scales_per_token for group in self.all_groups) * DTYPE_BITS[self.scale_dtype] // 8
            )
        return elements * DTYPE_BITS[self.dtype] // 8 + scales

    @property
    def block_bytes(self) -> int:
        """Bytes of one block of ``page_size`` tokens."""
        return self.bytes_per_token * self.page_size

    def fingerprint(self) -> str:
        """Digest (SHA-256, hex) that is equal exactly when two schemas describe the same bytes."""
        facts = self.model_dump(mode="json", exclude={"schema_version", "groups"})
        if self.scale_granularity == "none":
            facts.pop("scale_dtype")
        facts["groups"] = [group.model_dump(mode="json") for group in self.all_groups]
        return hashlib.sha256(repr(_sorted_items(facts)).encode()).hexdigest()

    def convertible_to(self, other: KVCacheSchema) -> bool:
        """Say whether a converter could map blocks of this schema to ``other``: same shape, any page or dtype."""

        def shape(schema: KVCacheSchema) -> list[tuple[object, ...]]:
            return [
                (g.kind, g.num_layers, g.num_heads, g.head_dim, g.window_tokens) for g in schema.all_groups
            ]

        return shape(self) == shape(other)


def _sorted_items(value: object) -> object:
    if isinstance(value, dict):
        return sorted((key, _sorted_items(item)) for key, item in value.items())
    if isinstance(value, list):
        return [_sorted_items(item) for item in value]
    return value


class KVSchemaRequest(FrozenModel):
    """What a user asks of the KV format; a backend honours it or refuses, it never approximates.

    Only the given fields bind: ``KVSchemaRequest(dtype="fp16")`` accepts any page size.
    """

    dtype: DType | None = None
    page_size: PositiveInt | None = None
    scale_dtype: Literal["fp16", "fp32", "int8"] | None = None
    scale_granularity: ScaleGranularity | None = None

    def mismatches(self, schema: KVCacheSchema) -> list[str]:
        """Name each requested field that ``schema`` does not satisfy, as ``"dtype: asked fp8_e4m3, got fp32"``."""
        return [
            f"{name}: asked {asked}, got {getattr(schema, name)}"
            for name, asked in self.model_dump(exclude_none=True).items()
            if asked != getattr(schema, name)
        ]


KV_SCHEMA_PRESETS: dict[str, KVSchemaRequest] = {
    "fp32": KVSchemaRequest(dtype="fp32"),
    "fp16": KVSchemaRequest(dtype="fp16"),
    "bf16": KVSchemaRequest(dtype="bf16"),
    "fp8": KVSchemaRequest(dtype="fp8_e4m3", scale_dtype="fp32", scale_granularity="tensor"),
    "int8": KVSchemaRequest(dtype="int8", scale_dtype="fp32", scale_granularity="token_head"),
    "int4": KVSchemaRequest(dtype="int4", scale_dtype="fp16", scale_granularity="token_head"),
}
"""What ``--kv-schema preset=NAME`` means."""


def parse_kv_schema(text: str) -> KVSchemaRequest:
    """Read ``preset=fp8``, ``dtype=fp16,page_size=32`` or a preset refined by fields.

    Raises ValueError that names the unknown preset or field and what exists.
    """
    fields: dict[str, str] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(
                f"KV schema {part!r} is not KEY=VALUE; try preset=fp16 or dtype=fp16,page_size=16"
            )
        fields[key.strip()] = value.strip()
    preset = fields.pop("preset", None)
    if preset is not None and preset not in KV_SCHEMA_PRESETS:
        raise ValueError(f"unknown KV schema preset {preset!r}; presets: {', '.join(KV_SCHEMA_PRESETS)}")
    unknown = sorted(set(fields) - set(KVSchemaRequest.model_fields))
    if unknown:
        known = ", ".join(["preset", *KVSchemaRequest.model_fields])
        raise ValueError(f"unknown KV schema field {unknown[0]!r}; fields: {known}")
    base = KV_SCHEMA_PRESETS[preset].model_dump(exclude_none=True) if preset else {}
    return KVSchemaRequest.model_validate({**base, **fields})
