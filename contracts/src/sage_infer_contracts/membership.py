"""Which methods make an object a member of each kind.

An explicit table in place of ``runtime_checkable`` protocols: those look at names of any type, cost a scan per
check, and cannot say what is missing.
"""

from __future__ import annotations

from inspect import getattr_static

from .backend import InferenceBackend
from .detection import HardwareDetector
from .embedding import EmbeddingBackend
from .eviction import EvictionPolicy
from .hybrid import HybridInferenceBackend
from .models import ModelSource
from .plugins import PluginKind
from .runtime import DeviceRuntime
from .store import KVStoreTier
from .transport import TransportEngine

PROTOCOLS: dict[str, type] = {
    "InferenceBackend": InferenceBackend,
    "EmbeddingBackend": EmbeddingBackend,
    "HybridInferenceBackend": HybridInferenceBackend,
    "HardwareDetector": HardwareDetector,
    "KVStoreTier": KVStoreTier,
    "EvictionPolicy": EvictionPolicy,
    "TransportEngine": TransportEngine,
    "DeviceRuntime": DeviceRuntime,
    "ModelSource": ModelSource,
}

PROTOCOL_OF_KIND: dict[PluginKind, type] = {
    PluginKind.BACKEND: InferenceBackend,
    PluginKind.EMBEDDING: EmbeddingBackend,
    PluginKind.KV_TIER: KVStoreTier,
    PluginKind.EVICTION: EvictionPolicy,
    PluginKind.TRANSPORT: TransportEngine,
    PluginKind.DEVICE: DeviceRuntime,
    PluginKind.MODEL_SOURCE: ModelSource,
}
"""What a driver of each kind must be once created."""


def members(protocol: type) -> tuple[str, ...]:
    """Return the public methods and properties that ``protocol`` asks for."""
    return tuple(name for name in vars(protocol) if not name.startswith("_"))


def missing_members(subject: object, protocol: type) -> list[str]:
    """Return what ``subject`` (an object or a class) lacks of ``protocol``; empty when it is a member.

    A method that is present but not callable counts as missing. Nothing of the subject is executed.
    """
    lacking = []
    for name in members(protocol):
        try:
            found = getattr_static(subject, name)
        except AttributeError:
            lacking.append(name)
            continue
        wants_property = isinstance(vars(protocol)[name], property)
        is_method = callable(found) or isinstance(found, (staticmethod, classmethod))
        if not wants_property and not is_method:
            lacking.append(name)
    return lacking
