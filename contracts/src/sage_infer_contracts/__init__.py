"""The vocabulary of sage-infer. Names are imported on first use, so that ``import sage_infer_contracts`` is cheap."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version

_MODULES: dict[str, tuple[str, ...]] = {
    "backend": ("BackendConfig", "BackendHealth", "BackendStats", "InferenceBackend", "ModelLocation", "OptionValue", "Prompt", "Tokenizer"),
    "capabilities": ("Capability",),
    "chat": ("ChatMessage", "ChatResponse"),
    "clauses": ("CLAUSES", "Clause"),
    "content": ("ContentKey", "ContentRoot", "Variant", "chain_key"),
    "descriptors": ("CapabilityDescriptor", "HybridCapabilityDescriptor", "ModelDescriptor", "ModelStatus"),
    "detection": ("DetectionReport", "DetectionStep", "HardwareDetector"),
    "devices": ("AcceleratorDescriptor", "DeviceIds", "Figure", "HardwareProfile", "HostCpu", "LinkProfile", "MemoryTierSpec", "NumaNode"),
    "embedding": ("EmbeddingBackend",),
    "errors": ("BackendUnavailable", "CapacityExceeded", "DeadlineExceeded", "DeviceUnavailable", "IntegrityError", "InvalidRequest", "PluginConflict", "PluginIncompatible", "PluginLoadError", "PluginNotFound", "SageInferError", "Unsupported", "error_from_wire", "error_to_wire"),
    "eviction": ("BlockInfo", "EvictionPolicy"),
    "hybrid": ("HybridInferenceBackend",),
    "kv": ("KV_SCHEMA_PRESETS", "KVCacheSchema", "KVGroup", "KVLayout", "KVSchemaRequest", "parse_kv_schema"),
    "launch": ("BackendContext", "BackendRecipe", "EngineLaunchPlan", "Refusal", "VersionWindow"),
    "membership": ("PROTOCOLS", "missing_members"),
    "memory": ("MemoryRegion",),
    "models": ("ModelRequest", "ModelSource", "ProgressCallback"),
    "names": ("DTYPE_BITS", "DType", "InstanceType", "Phase", "RESERVED_HARDWARE_NAMES", "check_plugin_name"),
    "plugins": ("COMMANDS_GROUP", "DoctorLine", "PluginKind", "PluginRef", "Proposal", "RESERVED_KINDS", "hookimpl"),
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
