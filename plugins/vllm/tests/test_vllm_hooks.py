"""What the package tells core without vLLM: an honest doctor line, and a proposal only where vLLM is. Needs no vLLM."""

from __future__ import annotations

from typing import Any

import pytest

from sage_infer_contracts.devices import HardwareProfile, HostCpu
from sage_infer_contracts.errors import DeviceUnavailable
from sage_infer_vllm import hooks

HOST = HardwareProfile(host=HostCpu(architecture="x86_64", logical_cpus=8, usable_cpus=8.0))


def found(version: str | None) -> Any:
    def answer() -> str:
        if version is None:
            raise DeviceUnavailable("vLLM is not installed; install it", reason="missing_distribution")
        return version

    return answer


@pytest.mark.parametrize(
    ("version", "ok", "says"),
    [("0.32.0", True, "0.32.0"), ("0.40", False, "0.40"), (None, True, "not installed")],
)
def test_the_doctor_says_which_vllm_there_is(
    monkeypatch: pytest.MonkeyPatch, version: str | None, ok: bool, says: str
) -> None:
    monkeypatch.setattr(hooks, "installed_version", found(version))
    (line,) = hooks.sage_infer_doctor()
    assert line.ok is ok
    assert says in line.text


def test_vllm_is_proposed_where_it_is_installed_and_below_the_native_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hooks, "find_spec", lambda name: object())
    (proposal,) = hooks.sage_infer_propose_backend(HOST)
    assert (proposal.name, proposal.score < 0.2) == ("vllm", True)
    assert hooks.sage_infer_propose_backend(HardwareProfile()) == []
    monkeypatch.setattr(hooks, "find_spec", lambda name: None)
    assert hooks.sage_infer_propose_backend(HOST) == []
