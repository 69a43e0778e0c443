"""The error family: builtins a caller would catch, and a lossless trip over a process boundary."""

import pytest

from sage_infer_contracts.errors import (
    FAMILY,
    DeviceUnavailable,
    InvalidRequest,
    SageInferError,
    Unsupported,
    error_from_wire,
    error_to_wire,
)

BUILTIN = {
    "plugin_not_found": LookupError,
    "plugin_conflict": LookupError,
    "plugin_incompatible": ImportError,
    "plugin_load_error": ImportError,
    "unsupported": NotImplementedError,
    "device_unavailable": RuntimeError,
    "backend_unavailable": ConnectionError,
    "capacity_exceeded": MemoryError,
    "integrity_error": ValueError,
    "deadline_exceeded": TimeoutError,
    "invalid_request": ValueError,
}


@pytest.mark.parametrize("error", FAMILY)
def test_each_error_is_also_the_builtin_a_caller_would_catch(error: type[SageInferError]) -> None:
    assert issubclass(error, BUILTIN[error.code])


@pytest.mark.parametrize("error", FAMILY)
def test_an_error_keeps_type_and_message_over_the_wire(error: type[SageInferError]) -> None:
    back = error_from_wire(error_to_wire(error("what happened")))
    assert type(back) is error
    assert str(back) == "what happened"


def test_an_error_keeps_its_named_fields_over_the_wire() -> None:
    for sent, field in (
        (InvalidRequest("too long", param="prompt"), "param"),
        (Unsupported("no", capability="backend.min_p", param="min_p"), "capability"),
        (DeviceUnavailable("no driver", reason="driver"), "reason"),
    ):
        back = error_from_wire(error_to_wire(sent))
        assert getattr(back, field) == getattr(sent, field)


def test_a_foreign_exception_keeps_its_type_name_in_the_message() -> None:
    back = error_from_wire(error_to_wire(KeyError("x")))
    assert type(back) is SageInferError
    assert "KeyError" in str(back)
