"""What a plugin author tells the conformance kit: which kind of plugin it is, and how one is made.

An author needs a handful of lines, named by an entry point in ``sage_infer.conformance.v1``::

    from sage_infer_contracts.testing import Subject
    from .plugin import MyEviction

    subject = Subject("eviction", MyEviction)

No line is needed where the driver's own entry point says it all: an eviction policy, a tier, a transport. The kit
never looks at a subject's source, name or type; it calls ``create`` and judges what the result does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, get_args

import attrs

from .backend import OptionValue

SubjectKind = Literal["eviction", "kv_tier", "transport", "detector", "backend", "embedding", "hybrid"]
"""What the kit can judge."""

PROTOCOL_OF_SUBJECT: dict[SubjectKind, str] = {
    "eviction": "EvictionPolicy",
    "kv_tier": "KVStoreTier",
    "transport": "TransportEngine",
    "detector": "HardwareDetector",
    "backend": "InferenceBackend",
    "embedding": "EmbeddingBackend",
    "hybrid": "HybridInferenceBackend",
}
"""Which protocol a subject of each kind implements, by its name in the membership table."""


def _known_kind(_: Subject, __: object, value: str) -> None:
    if value not in get_args(SubjectKind):
        raise ValueError(f"{value!r} is no kind of subject; kinds: {', '.join(get_args(SubjectKind))}")


@attrs.frozen(slots=True)
class Subject:
    """One thing to certify.

    ``create`` makes a fresh object of the kind each time it is called, with what the kind's factory takes:
    ``create(capacity_blocks)`` for an eviction policy, ``create(capacity_bytes=..., path=...)`` for a tier that is
    persistent and ``create(capacity_bytes=...)`` for one that is not, ``create(**options)`` for a transport,
    ``create()`` for a detector, ``create(config, context)`` for backends. ``options`` are passed along as keyword
    arguments. ``facts`` are the kind's own, described in the guide of that kind.
    """

    kind: SubjectKind = attrs.field(validator=_known_kind)
    create: Callable[..., object] = attrs.field(validator=attrs.validators.is_callable())
    options: Mapping[str, OptionValue] = attrs.field(factory=dict, converter=MappingProxyType)
    facts: Mapping[str, OptionValue] = attrs.field(factory=dict, converter=MappingProxyType)
