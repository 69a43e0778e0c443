"""Write ``docs/reference/contracts.md`` from the contracts themselves.

Run ``python docs/tools/contracts_reference.py`` after a change; ``--check`` exits 1 when the page is stale.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sage_infer_contracts.capabilities import Capability
from sage_infer_contracts.clauses import CLAUSES
from sage_infer_contracts.errors import FAMILY
from sage_infer_contracts.kinds import COMMANDS_GROUP, RESERVED_KINDS, TESTED_GROUP, PluginKind
from sage_infer_contracts.kv import KV_SCHEMA_PRESETS
from sage_infer_contracts.membership import PROTOCOLS, members
from sage_infer_contracts.schemas import SCHEMAS, json_schema
from sage_infer_contracts.wire import CONTRACT_VERSION

PAGE = Path(__file__).resolve().parents[1] / "reference" / "contracts.md"
_ROLE = re.compile(r":\w+:`~?([^`]+)`")


def prose(text: str | None) -> str:
    """Turn a docstring into Markdown: roles and double backticks become code spans."""
    cleaned = _ROLE.sub(r"`\1`", inspect.cleandoc(text or ""))
    return cleaned.replace("``", "`")


def clause_table() -> str:
    """All clauses, by subject."""
    rows = ["| id | subject | level | needs | promise |", "|---|---|---|---|---|"]
    rows += [
        f"| {c.id} | {c.subject} | {c.level} | {f'`{c.capability}`' if c.capability else 'always'} | {c.text} |"
        for c in CLAUSES.values()
    ]
    return "\n".join(rows)


def heading(member: str, function: Callable[..., Any], is_property: bool) -> str:
    """The signature as a caller sees it: no ``self``, annotations without quotes."""
    signature = inspect.signature(function)
    if is_property:
        return f"{member}: {signature.return_annotation}"
    shown = str(signature).replace("(self, ", "(").replace("(self)", "()").replace("'", "")
    return f"{'async ' if inspect.iscoroutinefunction(function) else ''}{member}{shown}"


def protocol_section(name: str, protocol: type) -> str:
    """One protocol: its docstring, then each member with its signature and docstring."""
    parts = [f"### {name}", prose(protocol.__doc__)]
    for member in members(protocol):
        value = vars(protocol)[member]
        function: Callable[..., Any] = value.fget if isinstance(value, property) else value  # type: ignore[assignment]
        parts.append(
            f"#### `{heading(member, function, isinstance(value, property))}`\n\n{prose(function.__doc__)}"
        )
    return "\n\n".join(parts)


def type_text(field: dict[str, Any]) -> str:
    """Describe the type of one JSON Schema property in a few words."""
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[1]
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    for key in ("anyOf", "allOf"):
        if key in field:
            return " or ".join(type_text(option) for option in field[key])
    if field.get("type") == "array":
        return f"array of {type_text(field['items'])}" if "items" in field else "array"
    if field.get("type") == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"map to {type_text(field['additionalProperties'])}"
    return str(field.get("type", "any"))


def schema_section(name: str) -> str:
    """One value type as a table of its fields."""
    schema = json_schema(name)
    required = set(schema.get("required", ()))
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field, spec in schema.get("properties", {}).items():
        if field == "schema_version":
            continue
        default = "required" if field in required else f"`{spec.get('default')}`"
        rows.append(f"| `{field}` | {type_text(spec)} | {default} | {spec.get('description', '')} |")
    return f"### {name}\n\n{prose(SCHEMAS[name].__doc__)}\n\n" + "\n".join(rows)


def render() -> str:
    """The whole page."""
    errors = "\n".join(
        f"| `{error.__name__}` | `{error.__bases__[1].__name__}` | `{error.code}` | {prose(error.__doc__)} |"
        for error in FAMILY
    )
    groups = "\n".join(
        f"| {kind.value} | `{kind.group}` | {'reserved' if kind in RESERVED_KINDS else 'in use'} |"
        for kind in PluginKind
    )
    presets = "\n".join(
        f"| `{name}` | `{request.model_dump(exclude_none=True)}` |"
        for name, request in KV_SCHEMA_PRESETS.items()
    )
    intro = (
        f"Contract version {CONTRACT_VERSION}. This page is made by `python docs/tools/contracts_reference.py` from "
        "the package `sage-infer-contracts`; a test fails when it is stale. `sage infer schema dump NAME` prints the "
        "JSON Schema of any type below."
    )
    groups += f"\n| commands | `{COMMANDS_GROUP}` | in use |\n| tested versions | `{TESTED_GROUP}` | in use |"
    sections = [
        "# Contract reference", intro,
        "## Clauses", clause_table(),
        "## Capabilities", "\n".join(f"- `{capability.value}`" for capability in Capability),
        "## Errors", "| error | also a | code | meaning |\n|---|---|---|---|\n" + errors,
        "## Plugin kinds", "| kind | entry-point group | |\n|---|---|---|\n" + groups,
        "## KV schema presets", "| preset | binds |\n|---|---|\n" + presets,
        "## Protocols", *(protocol_section(name, protocol) for name, protocol in PROTOCOLS.items()),
        "## Types", *(schema_section(name) for name in SCHEMAS),
    ]  # fmt: skip
    return "\n\n".join(sections) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` compare it."""
    page = render()
    if "--check" in arguments:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page:
            return 0
        print(f"{PAGE.name} is stale: run python docs/tools/contracts_reference.py", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page, encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
