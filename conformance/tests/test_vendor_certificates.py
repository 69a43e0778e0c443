"""The plugins of hardware vendors are certified without the hardware, and the certificate says so.

Whatever else is installed plays no part: the kit, the contracts and a plugin are enough. ``SAGE_KIT_VENDORS`` names
those that must be there, with commas between them; otherwise it is those that are.
"""

from __future__ import annotations

import os
import subprocess
from importlib.metadata import distribution, entry_points

import pytest
from certificates import COMMAND, certified

from sage_infer_conformance.reports.words import ranges

pytestmark = pytest.mark.slow
VENDORS = ("cuda", "ascend", "cambricon", "hygon", "kunlunxin")
INSTALLED = {point.name for point in entry_points(group="sage_infer.conformance.v1")} & set(VENDORS)
WANTED = os.environ.get("SAGE_KIT_VENDORS")


@pytest.mark.parametrize("name", WANTED.split(",") if WANTED else sorted(INSTALLED))
def test_a_vendors_plugin_holds_what_can_be_judged_without_the_chip(name: str) -> None:
    certificate = certified(name)
    assert (certificate.subject.kind, certificate.subject.device) == ("detector", "simulated")
    assert certificate.subject.distribution == f"sage-infer-{name}"
    assert certificate.subject.version == distribution(f"sage-infer-{name}").version
    by_verdict: dict[str, list[str]] = {}
    for result in certificate.results:
        by_verdict.setdefault(result.verdict, []).append(result.clause)
    assert ranges(by_verdict.pop("held")) == "HD-01 to HD-07, BR-01 to BR-03, PK-01 to PK-08"
    assert ranges(by_verdict.pop("not_run")) == "IB-01 to IB-14, KV-01 to KV-10"
    assert by_verdict == {}
    reasons = {result.reason for result in certificate.results if result.verdict == "not_run"}
    assert all("no evidence" in str(reason) for reason in reasons)


def test_each_lists_itself() -> None:
    done = subprocess.run([COMMAND, "list"], capture_output=True, text=True, check=True)
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    assert (set(WANTED.split(",")) if WANTED else INSTALLED) <= listed
