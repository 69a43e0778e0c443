"""What a plugin author needs to be judged, and to test without the chip.

An author tells the conformance kit which kind of plugin it is and how one is made, in a handful of lines named by an
entry point in ``sage_infer.conformance.v1``::

    from sage_infer_contracts.testing import Subject
    from .plugin import MyEviction

    subject = Subject("eviction", MyEviction)

No line is needed where the driver's own entry point says it all: an eviction policy, a tier, a transport. The kit
never looks at a subject's source, name or type; it calls ``create`` and judges what the result does.

A detector is also tried on a machine made of files and programs: :func:`write_machine` turns a recording into a folder
that stands for ``/`` and into executables that answer as the vendor's tools did, whole or damaged by a :class:`Damage`.
"""

from .damage import Damage, damaged
from .fake_machine import FakeMachine, asked_again, with_exit_status, write_machine
from .subjects import (
    PROTOCOL_OF_SUBJECT,
    RecordedMachine,
    Subject,
    SubjectKind,
    machines_in,
)

__all__ = [
    "PROTOCOL_OF_SUBJECT",
    "Damage",
    "FakeMachine",
    "RecordedMachine",
    "Subject",
    "SubjectKind",
    "asked_again",
    "damaged",
    "machines_in",
    "with_exit_status",
    "write_machine",
]
