"""Subjects of the conformance kit, and the machines that a detector is judged on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Literal, get_args

import attrs
from pydantic import NonNegativeInt, ValidationError

from ..backend import OptionValue
from ..devices import DeviceIds
from ..errors import InvalidRequest
from ..probe import ProbeRecording
from ..wire import WireModel

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


def _read_only(values: Mapping[str, OptionValue]) -> Mapping[str, OptionValue]:
    return MappingProxyType(dict(values))


def _known_kind(_: Subject, __: object, value: str) -> None:
    if value not in get_args(SubjectKind):
        raise ValueError(f"{value!r} is no kind of subject; kinds: {', '.join(get_args(SubjectKind))}")


@attrs.frozen(slots=True)
class Subject:
    """One thing to certify.

    ``create`` makes a fresh object of the kind each time it is called, with what the kind's factory takes:
    ``create(capacity_blocks)`` for an eviction policy, ``create(capacity_bytes=..., path=...)`` for a tier that is
    persistent and ``create(capacity_bytes=...)`` for one that is not,
    ``create(max_inflight_bytes=..., credential=...)`` for a transport, ``create()`` for a detector,
    ``create(config, context)`` for backends, and ``create(total_memory_bytes=...)`` for a hybrid without models.
    ``options`` are passed along as keyword arguments. ``facts`` are the kind's own, described in the guide of that
    kind. ``fixtures`` returns what a subject is judged on, by name: for a detector, :class:`RecordedMachine` values.
    """

    kind: SubjectKind = attrs.field(validator=_known_kind)
    create: Callable[..., object] = attrs.field(validator=attrs.validators.is_callable())
    options: Mapping[str, OptionValue] = attrs.field(factory=dict, converter=_read_only)
    facts: Mapping[str, OptionValue] = attrs.field(factory=dict, converter=_read_only)
    fixtures: Callable[[], Mapping[str, object]] | None = None


class RecordedMachine(WireModel):
    """A machine that a detector is judged on, and what its author knows of it; None: not known, so not judged.

    ``ids`` names devices by whatever is known of them: each must be reported with all of it. A detector's ``facts``
    are ``pci_vendors`` and ``visible_variables`` (words with commas between them), where it has any, ``pci_classes``
    (2, 4 or 6 digits of the PCI classes of its devices, as in ``0b40,1200``, so that a display or a network card of
    the same vendor is none of them; without it 03 and 12), and ``visible_uuids`` if those variables also take UUIDs.
    """

    recording: ProbeRecording
    state: Literal["present", "absent", "unreadable", "partial"] | None = None
    devices: NonNegativeInt | None = None
    ids: tuple[DeviceIds, ...] = ()


def machines_in(folder: Traversable) -> dict[str, RecordedMachine]:
    """Read every ``.json`` file of a folder, e.g. ``importlib.resources.files("my_plugin") / "machines"``.

    A file holds a :class:`RecordedMachine`, or a bare :class:`ProbeRecording` of which nothing else is known.
    Raises ``InvalidRequest`` for a file that is neither.
    """
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name
    )
    return {file.name.removesuffix(".json"): _machine(file) for file in files}


def _machine(file: Traversable) -> RecordedMachine:
    text = file.read_text(encoding="utf-8")
    try:
        if '"recording"' in text:
            return RecordedMachine.model_validate_json(text)
        return RecordedMachine(recording=ProbeRecording.model_validate_json(text))
    except ValidationError as error:
        problem = error.errors()[0]
        raise InvalidRequest(
            f"{file.name} is no recording of a machine: {problem['msg']}", param="fixtures"
        ) from error
