"""What a vendor's hook proposes where a backend is chosen automatically."""

from __future__ import annotations

from ..devices import HardwareProfile
from ..kinds import PluginKind
from ..plugins import Proposal

SCORE = 0.9
"""Above what engines propose for the host's CPU: a chip that was found is there to be used."""


def backend_for_chips(profile: HardwareProfile, name: str) -> list[Proposal]:
    """Propose the backend ``name`` where devices of the hardware of that name may compute.

    Those are the devices that have not failed and that the runtime has a number for: what a visible-device variable
    hides is not to be used.
    """
    able = [
        one
        for one in profile.accelerators
        if one.hardware_backend == name and one.health != "failed" and one.ids.logical is not None
    ]
    if not able:
        return []
    count = f"{len(able)} device{'s' if len(able) > 1 else ''}"
    names = ", ".join(sorted({one.name for one in able}))
    return [Proposal(kind=PluginKind.BACKEND, name=name, score=SCORE, reason=f"{count}: {names}")]
