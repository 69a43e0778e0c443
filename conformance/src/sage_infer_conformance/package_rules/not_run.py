"""What a run without the device says nothing about: how the backend of a recipe answers, and how KV is kept there."""

from __future__ import annotations

from collections.abc import Iterator

from sage_infer_contracts.clauses import CLAUSES
from sage_infer_contracts.kinds import PluginKind

from ..judging.rules import Stated
from .facts import PackageFacts

_SUBJECTS = {
    PluginKind.BACKEND.group: "InferenceBackend",
    PluginKind.EMBEDDING.group: "EmbeddingBackend",
}
_KV = "KVStoreTier"


def not_run(facts: PackageFacts) -> Iterator[Stated]:
    """Yield the clauses of backends and of KV tiers, for a package that publishes recipes for them."""
    subjects: dict[str, set[str]] = {}
    for found in facts.loading.recipes:
        if found.recipe is not None and found.group in _SUBJECTS:
            subjects.setdefault(_SUBJECTS[found.group], set()).add(found.recipe.hardware)
            if found.recipe.device_runtime is not None:
                subjects.setdefault(_KV, set()).add(found.recipe.hardware)
    for clause in CLAUSES.values():
        if clause.subject in subjects:
            yield Stated(clause.id, _reason(sorted(subjects[clause.subject])), "not_run")


def _reason(hardware: list[str]) -> str:
    return (
        f"for what runs on {' and '.join(hardware)}: no such device took part, "
        "and a CPU standing in for one is no evidence"
    )
