"""The vocabulary of sage-infer. Names are imported on first use, so that ``import sage_infer_contracts`` is cheap."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .backend import (
        BackendConfig as BackendConfig,
        BackendHealth as BackendHealth,
        BackendStats as BackendStats,
        InferenceBackend as InferenceBackend,
        ModelLocation as ModelLocation,
        OptionValue as OptionValue,
        Prompt as Prompt,
        Tokenizer as Tokenizer,
    )
    from .capabilities import Capability as Capability
    from .certification import (
        Certificate as Certificate,
        CertifiedClause as CertifiedClause,
        ClauseResult as ClauseResult,
        ConformanceReport as ConformanceReport,
        RunProfile as RunProfile,
        SubjectFacts as SubjectFacts,
        Witness as Witness,
    )
    from .chat import ChatMessage as ChatMessage, ChatResponse as ChatResponse
    from .clauses import CLAUSES as CLAUSES, Clause as Clause
    from .constraints import KVConstraints as KVConstraints, TransportChoice as TransportChoice
    from .content import (
        ContentKey as ContentKey,
        ContentRoot as ContentRoot,
        Variant as Variant,
        chain_key as chain_key,
    )
    from .descriptors import (
        CapabilityDescriptor as CapabilityDescriptor,
        HybridCapabilityDescriptor as HybridCapabilityDescriptor,
        ModelDescriptor as ModelDescriptor,
        ModelStatus as ModelStatus,
    )
    from .detection import (
        DetectionReport as DetectionReport,
        DetectionStep as DetectionStep,
        HardwareDetector as HardwareDetector,
    )
    from .devices import (
        AcceleratorDescriptor as AcceleratorDescriptor,
        DeviceIds as DeviceIds,
        Figure as Figure,
        HardwareProfile as HardwareProfile,
        HostCpu as HostCpu,
        LinkProfile as LinkProfile,
        MemoryTierSpec as MemoryTierSpec,
        NumaNode as NumaNode,
    )
    from .embedding import EmbeddingBackend as EmbeddingBackend
    from .errors import (
        BackendUnavailable as BackendUnavailable,
        CapacityExceeded as CapacityExceeded,
        DeadlineExceeded as DeadlineExceeded,
        DeviceUnavailable as DeviceUnavailable,
        IntegrityError as IntegrityError,
        InvalidRequest as InvalidRequest,
        PluginConflict as PluginConflict,
        PluginIncompatible as PluginIncompatible,
        PluginLoadError as PluginLoadError,
        PluginNotFound as PluginNotFound,
        SageInferError as SageInferError,
        Unsupported as Unsupported,
        error_from_wire as error_from_wire,
        error_to_wire as error_to_wire,
    )
    from .eviction import BlockInfo as BlockInfo, EvictionPolicy as EvictionPolicy
    from .hybrid import HybridInferenceBackend as HybridInferenceBackend
    from .kinds import (
        COMMANDS_GROUP as COMMANDS_GROUP,
        RESERVED_HARDWARE_NAMES as RESERVED_HARDWARE_NAMES,
        RESERVED_KINDS as RESERVED_KINDS,
        TESTED_GROUP as TESTED_GROUP,
        PluginKind as PluginKind,
        check_plugin_name as check_plugin_name,
        may_claim as may_claim,
    )
    from .kv import (
        KV_SCHEMA_PRESETS as KV_SCHEMA_PRESETS,
        KVCacheSchema as KVCacheSchema,
        KVGroup as KVGroup,
        KVLayout as KVLayout,
        KVSchemaRequest as KVSchemaRequest,
        parse_kv_schema as parse_kv_schema,
    )
    from .launch import (
        BackendContext as BackendContext,
        BackendRecipe as BackendRecipe,
        EngineLaunchPlan as EngineLaunchPlan,
        Refusal as Refusal,
        VersionWindow as VersionWindow,
        refusals_of as refusals_of,
    )
    from .membership import PROTOCOLS as PROTOCOLS, missing_members as missing_members
    from .memory import MemoryRegion as MemoryRegion
    from .models import (
        ModelRequest as ModelRequest,
        ModelSource as ModelSource,
        ProgressCallback as ProgressCallback,
    )
    from .names import (
        DTYPE_BITS as DTYPE_BITS,
        DType as DType,
        InstanceType as InstanceType,
        Phase as Phase,
    )
    from .plugins import (
        DoctorLine as DoctorLine,
        PluginRef as PluginRef,
        Proposal as Proposal,
        hookimpl as hookimpl,
    )
    from .probe import (
        CommandResult as CommandResult,
        PciDevice as PciDevice,
        Probe as Probe,
        ProbeRecording as ProbeRecording,
        RecordingProbe as RecordingProbe,
        ReplayProbe as ReplayProbe,
        Unknown as Unknown,
    )
    from .quantization import (
        QuantizationProfile as QuantizationProfile,
        load_profile_from_yaml as load_profile_from_yaml,
        validate_profile as validate_profile,
    )
    from .runtime import DeviceRuntime as DeviceRuntime, MemoryInfo as MemoryInfo
    from .sampling import SamplingParams as SamplingParams
    from .schemas import SCHEMAS as SCHEMAS, json_schema as json_schema
    from .states import (
        DecodeResult as DecodeResult,
        DecodeState as DecodeState,
        DetokeniserState as DetokeniserState,
        KVExport as KVExport,
        KVHandle as KVHandle,
        PrefilledSequence as PrefilledSequence,
        PrefillResult as PrefillResult,
        RngState as RngState,
    )
    from .store import BlockOutcome as BlockOutcome, KVStoreTier as KVStoreTier, TierUsage as TierUsage
    from .streams import (
        Completion as Completion,
        FinishReason as FinishReason,
        TokenDelta as TokenDelta,
        TokenLogprob as TokenLogprob,
        TokenStream as TokenStream,
        Usage as Usage,
    )
    from .transport import (
        KVChunk as KVChunk,
        TransferStatus as TransferStatus,
        TransportEngine as TransportEngine,
        TransportPlan as TransportPlan,
        TransportPreset as TransportPreset,
    )
    from .wire import CONTRACT_VERSION as CONTRACT_VERSION, FrozenModel as FrozenModel, WireModel as WireModel

_MODULES: dict[str, tuple[str, ...]] = {
    "backend": ("BackendConfig", "BackendHealth", "BackendStats", "InferenceBackend", "ModelLocation", "OptionValue", "Prompt", "Tokenizer"),
    "capabilities": ("Capability",),
    "certification": ("Certificate", "CertifiedClause", "ClauseResult", "ConformanceReport", "RunProfile", "SubjectFacts", "Witness"),
    "chat": ("ChatMessage", "ChatResponse"),
    "clauses": ("CLAUSES", "Clause"),
    "constraints": ("KVConstraints", "TransportChoice"),
    "content": ("ContentKey", "ContentRoot", "Variant", "chain_key"),
    "descriptors": ("CapabilityDescriptor", "HybridCapabilityDescriptor", "ModelDescriptor", "ModelStatus"),
    "detection": ("DetectionReport", "DetectionStep", "HardwareDetector"),
    "devices": ("AcceleratorDescriptor", "DeviceIds", "Figure", "HardwareProfile", "HostCpu", "LinkProfile", "MemoryTierSpec", "NumaNode"),
    "embedding": ("EmbeddingBackend",),
    "errors": ("BackendUnavailable", "CapacityExceeded", "DeadlineExceeded", "DeviceUnavailable", "IntegrityError", "InvalidRequest", "PluginConflict", "PluginIncompatible", "PluginLoadError", "PluginNotFound", "SageInferError", "Unsupported", "error_from_wire", "error_to_wire"),
    "eviction": ("BlockInfo", "EvictionPolicy"),
    "hybrid": ("HybridInferenceBackend",),
    "kinds": ("COMMANDS_GROUP", "PluginKind", "RESERVED_HARDWARE_NAMES", "RESERVED_KINDS", "TESTED_GROUP", "check_plugin_name", "may_claim"),
    "kv": ("KV_SCHEMA_PRESETS", "KVCacheSchema", "KVGroup", "KVLayout", "KVSchemaRequest", "parse_kv_schema"),
    "launch": ("BackendContext", "BackendRecipe", "EngineLaunchPlan", "Refusal", "VersionWindow", "refusals_of"),
    "membership": ("PROTOCOLS", "missing_members"),
    "memory": ("MemoryRegion",),
    "models": ("ModelRequest", "ModelSource", "ProgressCallback"),
    "names": ("DTYPE_BITS", "DType", "InstanceType", "Phase"),
    "plugins": ("DoctorLine", "PluginRef", "Proposal", "hookimpl"),
    "probe": ("CommandResult", "PciDevice", "Probe", "ProbeRecording", "RecordingProbe", "ReplayProbe", "Unknown"),
    "quantization": ("QuantizationProfile", "load_profile_from_yaml", "validate_profile"),
    "runtime": ("DeviceRuntime", "MemoryInfo"),
    "sampling": ("SamplingParams",),
    "schemas": ("SCHEMAS", "json_schema"),
    "states": ("DecodeResult", "DecodeState", "DetokeniserState", "KVExport", "KVHandle", "PrefillResult", "PrefilledSequence", "RngState"),
    "store": ("BlockOutcome", "KVStoreTier", "TierUsage"),
    "streams": ("Completion", "FinishReason", "TokenDelta", "TokenLogprob", "TokenStream", "Usage"),
    "transport": ("KVChunk", "TransferStatus", "TransportEngine", "TransportPlan", "TransportPreset"),
    "wire": ("CONTRACT_VERSION", "FrozenModel", "WireModel"),
}  # fmt: skip
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__version__ = version("sage-infer-contracts")
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
