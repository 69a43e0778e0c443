"""``--backend auto``: the name that the installed hooks propose for this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .plan import BackendKind

if TYPE_CHECKING:
    from sage_infer.plugins import Registry
    from sage_infer.plugins.choice import Explanation


def choose_name(kind: BackendKind, registry: Registry) -> tuple[str, Explanation]:
    """Detect this machine's hardware and return the best proposal, as ``dist:name``, and how it came about.

    Raises ``PluginNotFound`` that says why each candidate was rejected.
    """
    from sage_infer.hal import detect_profile

    explanation = registry.choose(kind, detect_profile(registry=registry))
    chosen = explanation.require()
    return f"{chosen.distribution}:{chosen.name}", explanation
