"""Every type that travels as data, by name, and its JSON Schema."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from .backend import BackendConfig, BackendHealth, BackendStats, ModelLocation
from .certification import (
    Certificate,
    CertifiedClause,
    ClauseResult,
    ConformanceReport,
    RunProfile,
    SubjectFacts,
    Witness,
)
from .chat import ChatMessage, ChatResponse
from .constraints import KVConstraints, TransportChoice
from .content import ContentRoot, Variant
from .descriptors import CapabilityDescriptor, HybridCapabilityDescriptor, ModelDescriptor, ModelStatus
from .detection import DetectionReport
from .devices import AcceleratorDescriptor, HardwareProfile, LinkProfile, MemoryTierSpec
from .kv import KVCacheSchema, KVGroup, KVLayout, KVSchemaRequest
from .launch import BackendRecipe, EngineLaunchPlan
from .memory import MemoryRegion
from .plugins import DoctorLine, PluginRef, Proposal
from .probe import CommandResult, PciDevice, ProbeRecording
from .quantization import QuantizationProfile
from .sampling import SamplingParams
from .states import DecodeState, KVExport, KVHandle
from .transport import KVChunk, TransferStatus, TransportPlan, TransportPreset

SCHEMAS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        KVCacheSchema, KVGroup, KVLayout, KVSchemaRequest,
        CapabilityDescriptor, ModelDescriptor, HybridCapabilityDescriptor, ModelStatus,
        QuantizationProfile, SamplingParams,
        ModelLocation, BackendConfig, BackendHealth, BackendStats,
        DecodeState, KVHandle, KVExport, ChatMessage, ChatResponse,
        ContentRoot, Variant, MemoryRegion, KVChunk, TransportPlan, TransportPreset, TransferStatus,
        AcceleratorDescriptor, LinkProfile, MemoryTierSpec, HardwareProfile, DetectionReport,
        PciDevice, CommandResult, ProbeRecording,
        PluginRef, Proposal, DoctorLine, BackendRecipe, EngineLaunchPlan, KVConstraints, TransportChoice,
        ConformanceReport, ClauseResult, Witness, Certificate, CertifiedClause, SubjectFacts, RunProfile,
    )
}  # fmt: skip


def json_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one type; raises KeyError for a name not in :data:`SCHEMAS`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **SCHEMAS[name].model_json_schema()}
