"""What a platform demands of KV blocks and how its devices exchange data, as a recipe says it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, PositiveInt

from .kv import KVCacheSchema, KVLayout, KVSchemaRequest
from .names import DType
from .wire import FrozenModel


class KVConstraints(FrozenModel):
    """What KV blocks may look like on a platform. Null: nobody said, which forbids nothing and promises nothing."""

    block_sizes: tuple[PositiveInt, ...] | None = Field(default=None, description="tokens of a block")
    layouts: tuple[KVLayout, ...] | None = Field(
        default=None, description="orders in which a layer's KV is stored"
    )
    dtypes: tuple[DType, ...] | None = Field(default=None, description="of stored elements")
    swap: bool | None = Field(
        default=None, description="whether blocks can be copied between device and host while it serves"
    )
    engine: str | None = Field(default=None, description="the engine this is true of; null: every one")
    chips: tuple[str, ...] = Field(default=(), description="names in the vendor's list; none: all")
    when: Mapping[str, str] = Field(
        default_factory=dict, description="only with these settings, as in a Refusal"
    )
    source: str = Field(min_length=1, description="where that stands")

    def mismatches(self, schema: KVCacheSchema | KVSchemaRequest) -> list[str]:
        """Name each field that ``schema`` sets and may not, as ``"page_size: 16, allowed 128"``."""
        found = []
        for name, allowed in (("page_size", self.block_sizes), ("dtype", self.dtypes)):
            asked = getattr(schema, name)
            if allowed is not None and asked is not None and asked not in allowed:
                found.append(f"{name}: {asked}, allowed {', '.join(map(str, allowed))}")
        return found


class TransportChoice(FrozenModel):
    """How devices of a platform exchange data. Null: there is none, or nobody said; ``notes`` tells which."""

    collective: str | None = Field(default=None, description="collective library, by its own name")
    collective_backend: str | None = Field(default=None, description="what torch.distributed calls it")
    mooncake_wheel: str | None = Field(default=None, description="distribution on PyPI with this transport")
    mooncake_protocol: str | None = Field(default=None, description="Mooncake's protocol string")
    mooncake_build_flag: str | None = Field(
        default=None, description="build option where no wheel has it, e.g. USE_X"
    )
    fallback: str = Field(default="tcp", description="transport plugin that works without any of these")
    source: str = Field(min_length=1)
    notes: str = ""

    def shared_with(self, other: TransportChoice) -> str:
        """Return the Mooncake protocol of both, or else what both fall back to.

        A protocol that goes by the vendor's own network is not shared by being spelled alike; only ``rdma`` and
        ``tcp`` are taken for common ground between vendors. Raises ValueError where nothing is shared.
        """
        mine, theirs = self.mooncake_protocol, other.mooncake_protocol
        if mine is not None and mine == theirs and (self == other or mine in ("rdma", "tcp")):
            return mine
        if self.fallback != other.fallback:
            raise ValueError(f"nothing in common: {self.fallback} here, {other.fallback} there")
        return self.fallback
