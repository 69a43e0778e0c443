"""``sage infer schema``: every type, and a wrong name told what exists."""

import json

import pytest
from click.testing import CliRunner

from sage_infer.cli.schema import schema
from sage_infer_contracts.schemas import SCHEMAS


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_type_dumps_as_json_schema(name: str) -> None:
    result = CliRunner().invoke(schema, ["dump", name])
    assert result.exit_code == 0
    assert json.loads(result.output)["title"] == name


def test_dump_without_a_name_dumps_all() -> None:
    assert set(json.loads(CliRunner().invoke(schema, ["dump"]).output)) == set(SCHEMAS)


def test_a_misspelt_type_gets_a_suggestion() -> None:
    result = CliRunner().invoke(schema, ["dump", "KVCacheShema"])
    assert result.exit_code == 2
    assert "did you mean KVCacheSchema" in result.output


def test_list_names_every_type() -> None:
    assert json.loads(CliRunner().invoke(schema, ["list", "--json"]).output) == list(SCHEMAS)
    assert "KVCacheSchema" in CliRunner().invoke(schema, ["list"]).output
