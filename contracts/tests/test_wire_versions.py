"""Wire types: a newer minor is understood, another major is refused, a typo is never swallowed."""

import pytest
from pydantic import ValidationError

from sage_infer_contracts.backend import BackendHealth
from sage_infer_contracts.schemas import SCHEMAS, json_schema
from sage_infer_contracts.wire import (
    CONTRACT_MAJOR,
    CONTRACT_MINOR,
    CONTRACT_VERSION,
    WireModel,
    parse_version,
)

NEWER = f"{CONTRACT_MAJOR}.{CONTRACT_MINOR + 1}"


def test_unknown_fields_of_a_newer_minor_are_ignored() -> None:
    health = BackendHealth.model_validate({"state": "ready", "schema_version": NEWER, "mood": "good"})
    assert health.state == "ready"


def test_unknown_fields_of_our_own_version_are_refused() -> None:
    with pytest.raises(ValidationError, match="mood"):
        BackendHealth.model_validate({"state": "ready", "mood": "good"})


def test_another_major_is_refused() -> None:
    with pytest.raises(ValidationError, match="wire major"):
        BackendHealth.model_validate({"state": "ready", "schema_version": f"{CONTRACT_MAJOR + 1}.0"})


@pytest.mark.parametrize("text", ["", "1", "1.", ".1", "a.b", "1.0.0"])
def test_a_malformed_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must look like"):
        parse_version(text)


def test_a_value_that_is_no_mapping_is_refused_by_type() -> None:
    with pytest.raises(ValidationError):
        BackendHealth.model_validate(3)


def test_value_types_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        BackendHealth(state="ready").state = "failed"  # type: ignore[misc]


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_type_that_travels_has_a_json_schema(name: str) -> None:
    schema = json_schema(name)
    assert schema["type"] == "object"
    assert schema["title"] == name


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_wire_type_carries_its_version(name: str) -> None:
    if issubclass(SCHEMAS[name], WireModel):
        assert json_schema(name)["properties"]["schema_version"]["default"] == CONTRACT_VERSION
