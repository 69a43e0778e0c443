"""Certifies an installed plugin by the command that its author would type."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sage_infer_contracts.certification import Certificate

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 3000.0
"""When a run counts as hung: one on vLLM starts it thirteen times, and takes a quarter of an hour on a busy machine."""
COMMAND = Path(sys.executable).with_name("sage-infer-conformance")


def certified(name: str) -> Certificate:
    """Run the kit on ``name`` and return the certificate; it lies in ``report/certificates``, with the page."""
    out = ROOT / "report" / "certificates" / name
    done = subprocess.run(
        [str(COMMAND), "run", name, "--mode", "certify", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Certificate.model_validate_json((out / "certificate.json").read_text(encoding="utf-8"))
