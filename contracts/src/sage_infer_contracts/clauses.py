"""The clause table: every promise a plugin makes, by id. Ids are stable once released.

The kit judges them; the protocols' docstrings repeat each where it binds; the reference page is made from here.
"""

from __future__ import annotations

from typing import Literal

import attrs

from .capabilities import Capability

Level = Literal["MUST", "SHOULD"]


@attrs.frozen(slots=True)
class Clause:
    """One promise. ``capability`` is what a plugin must declare for the clause to bind; None: always."""

    id: str
    subject: str
    text: str
    capability: Capability | None = None
    level: Level = "MUST"
    since: str = "1.0"


_SPLIT = Capability.BACKEND_SPLIT_PREFILL
_ALL = (
    Clause("IB-01", "InferenceBackend", "greedy output is a function of the prompt alone: same tokens alone, in a batch, chunked or whole, with a cold or a warm cache; where a device cannot be bitwise equal, the first divergence falls only where the top-two logit gap is under a stated epsilon for the dtype"),
    Clause("IB-02", "InferenceBackend", "prefill followed by decode gives the tokens generate gives, also in another process on transferred KV", _SPLIT),
    Clause("IB-03", "InferenceBackend", "a declared limit is enforced before work starts, by InvalidRequest naming the limit, and everything within limits is served"),
    Clause("IB-04", "InferenceBackend", "cancel ends the stream within a bounded number of steps, and a request that is over, however it ended, has returned every KV block it held"),
    Clause("IB-05", "InferenceBackend", "max_tokens, stop strings, stop tokens, EOS and ignore_eos do exactly what they say; finish_reason says which; the token that ends an output is its last, a stop string is cut from the text"),
    Clause("IB-06", "InferenceBackend", "streams yield each token once, in order; text joins to the decoded whole, across multi-byte characters"),
    Clause("IB-07", "InferenceBackend", "get_kv_schema matches the bytes stored; a block exported and imported continues with identical tokens"),
    Clause("IB-08", "InferenceBackend", "reported reuse of N tokens means N tokens were not computed; measured, not inferred"),
    Clause("IB-09", "InferenceBackend", "load_quant_profile changes the weights or raises Unsupported; it never pretends"),
    Clause("IB-10", "InferenceBackend", "close is idempotent, frees devices, processes and files, and fails pending requests with an error"),
    Clause("IB-11", "InferenceBackend", "seeds make sampling reproducible; temperature 0 is greedy; logprobs, where declared, are of the emitted tokens"),
    Clause("IB-12", "InferenceBackend", "concurrent requests neither starve nor mix: no request sees another's tokens, KV or parameters"),
    Clause("IB-13", "InferenceBackend", "a DecodeState is used once: expired, foreign, stale, altered or repeated ones are refused; an abandoned prefill frees its blocks when the lease ends", _SPLIT),
    Clause("IB-14", "InferenceBackend", "a parameter or call whose capability is not declared is refused with Unsupported before work starts; what is declared is there and does what it says"),
    Clause("EB-01", "EmbeddingBackend", "order kept, dimension as declared, finite values, empty input gives an empty list"),
    Clause("EB-02", "EmbeddingBackend", "a vector does not depend on its batch, on other calls or on the instance, within the dtype's tolerance"),
    Clause("EB-03", "EmbeddingBackend", "input past the maximum is truncated or refused as declared, never silently both; a refusal names the limit"),
    Clause("EB-04", "EmbeddingBackend", "close is idempotent, frees what is held and ends pending calls with their vectors or an error; before start and after close calls are refused"),
    Clause("HB-01", "HybridInferenceBackend", "both contracts hold at once, per model"),
    Clause("HB-02", "HybridInferenceBackend", "load, unload and status keep a memory budget that is never exceeded, by the process's real memory"),
    Clause("HB-03", "HybridInferenceBackend", "a request is never lost to an unload"),
    Clause("HB-04", "HybridInferenceBackend", "unknown models are refused naming what exists"),
    Clause("HD-01", "HardwareDetector", "reports present, absent, present-but-unreadable with a reason, or partial; a driver error is not absence, nor is what the probe cannot tell; devices lost to a failing source are not passed over as present"),
    Clause("HD-02", "HardwareDetector", "pure on recorded sources: same probe, same answer; no import of torch or a vendor SDK in the calling process"),
    Clause("HD-03", "HardwareDetector", "never claims another vendor's device; PCI vendor and class decide"),
    Clause("HD-04", "HardwareDetector", "malformed, truncated, widened, noisy or localised tool output never raises and never invents a device"),
    Clause("HD-05", "HardwareDetector", "ids are kept apart; visible-device variables are honoured"),
    Clause("HD-06", "HardwareDetector", "every figure is measured or carries its source; unknown is null; JSON round-trips"),
    Clause("HD-07", "HardwareDetector", "ends within its deadline"),
    Clause("KV-01", "KVStoreTier", "what get returns is byte-identical to what was put, or it is not a hit; corruption is detected, reported and dropped"),
    Clause("KV-02", "KVStoreTier", "a block is visible wholly or not at all, also after a crash mid-write and a restart (persistent tiers)"),
    Clause("KV-03", "KVStoreTier", "capacity is never exceeded; a full tier rejects, and nothing is lost that was stored"),
    Clause("KV-04", "KVStoreTier", "concurrent readers and writers never see torn data; put of a present key is a no-op"),
    Clause("KV-05", "KVStoreTier", "every operation ends by its deadline, with the device slow, full, read-only or gone"),
    Clause("KV-06", "KVStoreTier", "usage equals the sum of what is stored; remove frees; a closed tier refuses"),
    Clause("KV-07", "KVStoreTier", "a block lost for any reason is reported to the owner"),
    Clause("KV-08", "KVStoreTier", "keys of one namespace are invisible in another"),
    Clause("KV-09", "KVStoreTier", "only the regions of an operation are touched, and only until poll has returned its outcomes"),
    Clause("KV-10", "KVStoreTier", "what was reported stored is there, with its usage, when a tier is made again at its path, also after its process was killed", Capability.TIER_PERSISTENT),
    Clause("EV-01", "EvictionPolicy", "victims are resident and unpinned"),
    Clause("EV-02", "EvictionPolicy", "exactly count victims, or None with no state change; None only while fewer may leave"),
    Clause("EV-03", "EvictionPolicy", "prefix-closed: never a block whose resident child stays"),
    Clause("EV-04", "EvictionPolicy", "deterministic given the event history"),
    Clause("EV-05", "EvictionPolicy", "cost per event does not grow with the resident set (amortised O(log n) at worst)"),
    Clause("EV-06", "EvictionPolicy", "state is bounded by capacity, ghosts included"),
    Clause("EV-07", "EvictionPolicy", "after discard a block is forgotten"),
    Clause("TE-01", "TransportEngine", "bytes arrive identical and in full, or the handle fails; no partial success"),
    Clause("TE-02", "TransportEngine", "a lease with a generation guards each transfer: a late, repeated or stale write is refused"),
    Clause("TE-03", "TransportEngine", "peer death, cancel and timeout end every handle by its deadline and free both sides"),
    Clause("TE-04", "TransportEngine", "back-pressure is bounded"),
    Clause("TE-05", "TransportEngine", "a peer without the right credential is refused, as sender and as receiver", Capability.TRANSPORT_REMOTE),
    Clause("TE-06", "TransportEngine", "concurrent transfers do not mix"),
    Clause("TE-07", "TransportEngine", "a plan within its limits, lease and deadline, between two live ends, is carried out"),
    Clause("TE-08", "TransportEngine", "only registered memory is read or written, and of it only what plan and lease name; memory in use stays registered"),
    Clause("BR-01", "BackendRecipe", "a recipe is data that comes back from JSON as it was; the hardware, device runtime and engines that it and its launch plan name fit together, and what the plan demands it says how to install"),
    Clause("BR-02", "BackendRecipe", "a refusal names a setting and values as a host gives them and chips of its vendor's list, so that it can hold, with reason, source and alternative"),
    Clause("BR-03", "BackendRecipe", "neither what is proposed in place of a refused setting nor what the launch plan itself sets is refused; what the KV constraints forbid is"),
    Clause("PK-01", "Package", "metadata complete; a floor-only dependency on contracts"),
    Clause("PK-02", "Package", "the entry module imports no heavy dependency"),
    Clause("PK-03", "Package", "installs and lists without the vendor SDK; using it then raises DeviceUnavailable saying what to install"),
    Clause("PK-04", "Package", "only documented errors escape"),
    Clause("PK-05", "Package", "safe to create, close and re-create; safe under spawn and fork-server"),
    Clause("PK-06", "Package", "declares the tested version window of what it adapts"),
    Clause("PK-07", "Package", "the driver that runs is the one that was named"),
    Clause("PK-08", "Package", "what it prints stays bounded, whatever it is asked", None, "SHOULD"),
)  # fmt: skip
CLAUSES: dict[str, Clause] = {clause.id: clause for clause in _ALL}
"""All clauses, by id, in the order of the contract."""
