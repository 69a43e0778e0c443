"""A driver's message becomes one member of the error family, with its kind and what to do."""

from __future__ import annotations

import pytest

from sage_infer_contracts.engines.device_errors import ErrorTable, KnownError
from sage_infer_contracts.errors import CapacityExceeded, DeviceUnavailable

TABLE = ErrorTable(
    errors=(
        KnownError(pattern=r"ret is -8005", kind="permission", advice="join the group", source="a manual"),
        KnownError(pattern=r"fell off the bus", kind="lost_device", source="a report"),
    )
)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("init failed. RET IS -8005.", "permission"),
        ("card 3 fell off the bus", "lost_device"),
        ("MLU out of memory", "out_of_memory"),
        ("[Errno 13] Permission denied: '/dev/x'", "permission"),
        ("", "unknown"),
        ("ret is -8", "unknown"),
    ],
)
def test_the_kind_of_a_message(message: str, kind: str) -> None:
    assert TABLE.kind(message) == kind


def test_errors_are_translated_with_advice() -> None:
    error = TABLE.translate("counting", RuntimeError("ret is -8005"))
    assert isinstance(error, DeviceUnavailable)
    assert (error.reason, str(error)) == (
        "permission",
        "counting failed: RuntimeError: ret is -8005; join the group",
    )
    assert isinstance(TABLE.translate("copying", RuntimeError("CUDA out of memory.")), CapacityExceeded)
    assert isinstance(ErrorTable().translate("x", ValueError("new")), DeviceUnavailable)


def test_a_pattern_that_is_none_is_named_when_it_is_looked_for() -> None:
    table = ErrorTable((KnownError(pattern="(", kind="driver", source="x"),))
    with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
        table.find("anything")
