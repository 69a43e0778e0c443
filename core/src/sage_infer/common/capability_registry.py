"""CapabilityRegistry: which running instance can do what. Schedulers ask it; whoever runs an instance fills it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

import attrs

from sage_infer_contracts.descriptors import CapabilityDescriptor
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kv import KVCacheSchema
from sage_infer_contracts.names import InstanceType


@attrs.frozen(slots=True)
class RegisteredInstance:
    """One instance: its id, the model it serves, what it can do, and who may change this record."""

    instance_id: str
    model_id: str
    descriptor: CapabilityDescriptor
    owner: str


@attrs.frozen(slots=True)
class CapabilityQuery:
    """What a scheduler needs. A field left at its default does not restrict."""

    capabilities: frozenset[str] = attrs.field(default=frozenset(), converter=frozenset)
    """Names from ``Capability``; all of them are needed."""
    model_id: str | None = None
    instance_types: frozenset[InstanceType] | None = attrs.field(
        default=None, converter=attrs.converters.optional(frozenset)
    )
    hardware: str | None = None
    dtype: str | None = None
    """Must be among the precisions the instance computes in."""
    kv_schema: KVCacheSchema | None = None
    """The instance's KV must be the same bytes: equal fingerprints."""
    kv_convertible_to: KVCacheSchema | None = None
    """The instance's KV must be convertible to this."""
    min_sequence_length: int = 0
    """Tokens, prompt and output together."""

    def admits(self, instance: RegisteredInstance) -> bool:
        """Say whether ``instance`` meets every restriction."""
        can = instance.descriptor
        return (
            self.capabilities <= can.capabilities
            and self.model_id in (None, instance.model_id)
            and (self.instance_types is None or can.instance_type in self.instance_types)
            and self.hardware in (None, can.hardware_backend)
            and (self.dtype is None or self.dtype in can.supported_precisions)
            and self.min_sequence_length <= can.max_sequence_length
            and self._admits_kv(can.kv_schema)
        )

    def _admits_kv(self, schema: KVCacheSchema | None) -> bool:
        if self.kv_schema is not None and (
            schema is None or schema.fingerprint() != self.kv_schema.fingerprint()
        ):
            return False
        if self.kv_convertible_to is None:
            return True
        return schema is not None and schema.convertible_to(self.kv_convertible_to)


class CapabilityRegistry:
    """Instances by id. Thread-safe; every answer is a snapshot.

    A record belongs to the ``owner`` that registered it: nobody else may replace or remove it. An instance gone from
    here is gone from scheduling, not stopped.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._instances: dict[str, RegisteredInstance] = {}

    def register(
        self, instance_id: str, descriptor: CapabilityDescriptor, *, model_id: str, owner: str
    ) -> RegisteredInstance:
        """Add an instance, or replace what its owner said of it before.

        Raises ``InvalidRequest`` when the id belongs to another owner, or to another model of this owner.
        """
        instance = RegisteredInstance(instance_id, model_id, descriptor, owner)
        with self._lock:
            known = self._instances.get(instance_id)
            if known is not None:
                self._check_owner(known, owner)
                if known.model_id != model_id:
                    raise InvalidRequest(
                        f"instance {instance_id!r} serves {known.model_id!r}; unregister it before it can serve "
                        f"{model_id!r}",
                        param="model_id",
                    )
            self._instances[instance_id] = instance
        return instance

    def unregister(self, instance_id: str, *, owner: str) -> bool:
        """Remove an instance; False if it is not there. Raises ``InvalidRequest`` for another's instance."""
        with self._lock:
            known = self._instances.get(instance_id)
            if known is None:
                return False
            self._check_owner(known, owner)
            del self._instances[instance_id]
            return True

    def get(self, instance_id: str) -> RegisteredInstance | None:
        """Return one instance, or None."""
        with self._lock:
            return self._instances.get(instance_id)

    def instances(self) -> list[RegisteredInstance]:
        """Return all instances, in the order they were registered."""
        with self._lock:
            return list(self._instances.values())

    def query(self, wanted: CapabilityQuery | None = None, **restrictions: Any) -> list[RegisteredInstance]:
        """Return the instances that meet ``wanted``, or the given fields of :class:`CapabilityQuery`, in order."""
        query = wanted if wanted is not None else CapabilityQuery(**restrictions)
        return [instance for instance in self.instances() if query.admits(instance)]

    def model_ids(self) -> list[str]:
        """Return every model that some instance serves, sorted."""
        return sorted({instance.model_id for instance in self.instances()})

    def capabilities(self, instances: Iterable[RegisteredInstance] | None = None) -> frozenset[str]:
        """Return what at least one of ``instances`` (default: all) can do."""
        found = self.instances() if instances is None else instances
        return frozenset().union(*(instance.descriptor.capabilities for instance in found))

    @staticmethod
    def _check_owner(known: RegisteredInstance, owner: str) -> None:
        if known.owner != owner:
            raise InvalidRequest(
                f"instance {known.instance_id!r} belongs to {known.owner!r}; {owner!r} may not change it",
                param="instance_id",
            )
