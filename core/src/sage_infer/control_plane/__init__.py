"""The control plane: every request goes through :class:`ControlPlaneManager`."""

from .errors import ContextLengthExceeded, Draining, ModelNotFound
from .manager import ControlPlaneManager
from .requests import EmbeddingResult, EmbedRequest, GenerateRequest
from .streams import RequestStream
from .types import (
    ControlPlaneStatus,
    ExecutionInstance,
    ExecutionInstanceType,
    ModelStatus,
    RequestMetadata,
    RequestStatus,
    RequestType,
)

__all__ = [
    "ContextLengthExceeded",
    "ControlPlaneManager",
    "ControlPlaneStatus",
    "Draining",
    "EmbedRequest",
    "EmbeddingResult",
    "ExecutionInstance",
    "ExecutionInstanceType",
    "GenerateRequest",
    "ModelNotFound",
    "ModelStatus",
    "RequestMetadata",
    "RequestStatus",
    "RequestStream",
    "RequestType",
]
