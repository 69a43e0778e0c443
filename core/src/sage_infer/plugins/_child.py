"""The child's side of :mod:`sage_infer.plugins.child`: loads one plugin, says what happened, exits."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from sage_infer_contracts.errors import SageInferError, error_to_wire
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.plugins import PluginRef

from .hooks import Hooks
from .registry import LoadedPlugin, default_registry

HEAVY_MODULES = ("torch", "vllm", "transformers")
"""What importing a plugin's entry module must not bring in (PK-02); a vendor's torch extension brings in torch."""


def answer(question: Mapping[str, Any]) -> dict[str, Any]:
    """Load the plugin that ``question["ref"]`` names and report on it."""
    before = set(sys.modules)
    try:
        plugin = default_registry().resolve(PluginRef.model_validate(question["ref"]))
    except SageInferError as error:
        return {"error": error_to_wire(error)}
    report: dict[str, Any] = {"heavy": [m for m in HEAVY_MODULES if m in sys.modules and m not in before]}
    if plugin.ref.kind is PluginKind.HOOKS:
        report |= _ask_hooks(plugin)
    return report


def _ask_hooks(plugin: LoadedPlugin) -> dict[str, Any]:
    hooks = Hooks([plugin])
    hooks.detectors()
    lines = [found.value.model_dump(mode="json") for found in hooks.doctor_lines()]
    return {"lines": lines, "problems": [problem.message for problem in hooks.problems]}


def main() -> None:
    """Answer the question in ``argv``. What the plugin prints goes to stderr, so that it cannot garble the answer."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        json.dump(answer(json.loads(sys.argv[1])), out)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # the answer is written: threads or exit handlers a plugin started are not waited for
