"""Hooks propose and never break anything: what one plugin does wrong is put down to it, and the others count."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from sage_infer_contracts.devices import HardwareProfile
from sage_infer_contracts.errors import PluginNotFound, Unsupported
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.probe import ProbeRecording

HOOKS = "sage_infer.hooks.v1"
HEAD = """
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.plugins import DoctorLine, Proposal, hookimpl
def propose(name, score, kind=PluginKind.BACKEND):
    return Proposal(kind=kind, name=name, score=score, reason=f"scores {score}")
"""
DETECTOR = """
class Detector:
    hardware_backend = "acme"
    def detect(self, probe): return DetectionReport(hardware_backend="acme", state="absent")
@hookimpl
def sage_infer_detector(): return Detector()
"""
PROFILE = HardwareProfile()


def add_hooks(site: Any, name: str, source: str) -> None:
    module = f"hooks_{name.replace('-', '_')}"
    site.add(name, {HOOKS: {name: module}}, {module: HEAD + source})


def add_backends(site: Any, *names: str, distribution: str = "the-backends", **more: Any) -> None:
    site.add(distribution, {"sage_infer.backend.v1": dict.fromkeys(names, "no_such_module:make")}, {}, **more)


def proposing(body: str) -> str:
    return f"@hookimpl\ndef sage_infer_propose_backend(profile):\n    {body}\n"


def test_detectors_come_with_the_plugin_they_are_from_sorted_by_distribution(site: Any) -> None:
    for name in ("zeta", "alpha"):
        add_hooks(site, name, DETECTOR)
    hooks = site.registry().hooks
    assert [found.ref.distribution for found in hooks.detectors()] == ["alpha", "zeta"]
    assert hooks.detectors()[0].value.detect(ProbeRecording().replay()).state == "absent"
    assert hooks.problems == ()
    assert [ref.name for ref in hooks.plugins()] == ["alpha", "zeta"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("@hookimpl\ndef sage_infer_detectr(): ...", "sage_infer_detectr"),
        ("@hookimpl\ndef sage_infer_detector(wrong): ...", "wrong"),
        ("def sage_infer_detector(): ...", "not marked with @hookimpl"),
        ("x = 1", "nothing in it is marked"),
        ("raise OSError('no driver')", "OSError: no driver"),
        ("import sys; sys.exit(2)", "SystemExit: 2"),
    ],
)
def test_a_hook_plugin_that_cannot_be_used_is_one_problem_and_one_warning(
    site: Any, caplog: pytest.LogCaptureFixture, source: str, complaint: str
) -> None:
    add_hooks(site, "bad", source)
    add_hooks(site, "good", DETECTOR)
    with caplog.at_level(logging.WARNING, "sage_infer.plugins"):
        hooks = site.registry().hooks
        assert [found.ref.name for found in hooks.detectors()] == ["good"]
    (problem,) = hooks.problems
    assert complaint in problem.message
    assert (problem.distribution, problem.name) == ("bad", "bad")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("@hookimpl\ndef sage_infer_detector(): raise OSError('hung up')", "OSError: hung up"),
        ("@hookimpl\ndef sage_infer_detector(): raise SystemExit(4)", "SystemExit: 4"),
        ("@hookimpl\ndef sage_infer_detector(): return object()", "no HardwareDetector: it lacks"),
    ],
)
def test_a_hook_that_fails_is_put_down_to_its_plugin(site: Any, source: str, complaint: str) -> None:
    add_hooks(site, "bad", source)
    add_hooks(site, "good", DETECTOR)
    hooks = site.registry().hooks
    assert [found.ref.name for found in hooks.detectors()] == ["good"]
    assert complaint in hooks.problems[0].message


def test_hooks_may_be_an_object_even_a_falsy_one_and_must_be_no_class(site: Any) -> None:
    source = (
        f"{HEAD}\nclass Hooks:\n    def __len__(self): return 0\n"
        "    @hookimpl\n    def sage_infer_observers(self): return [print]\n"
        "hooks = Hooks()\nalso = hooks\nclass Unhashable(Hooks):\n    __hash__ = None\nunhashable = Unhashable()\n"
    )
    names = {
        "a": "hooks_object:hooks",
        "b": "hooks_object:also",
        "c": "hooks_object:Hooks",
        "d": "hooks_object:unhashable",
    }
    site.add("objects", {HOOKS: names}, {"hooks_object": source})
    hooks = site.registry().hooks
    assert hooks.observers() == [print]
    assert {problem.name for problem in hooks.problems} == {"b", "c", "d"}


def test_observers_that_cannot_be_called_and_lines_that_are_none_are_problems(site: Any) -> None:
    source = (
        "@hookimpl\ndef sage_infer_observers(): return [3]\n@hookimpl\ndef sage_infer_doctor(): return ['x']"
    )
    add_hooks(site, "bad", source)
    hooks = site.registry().hooks
    assert hooks.observers() == []
    assert hooks.doctor_lines() == []
    assert "no observer" in hooks.problems[0].message
    assert "DoctorLine is due" in hooks.problems[1].message


def test_without_autoload_no_hook_is_imported_unless_it_is_allowed_by_name(site: Any) -> None:
    add_hooks(site, "one", DETECTOR)
    add_hooks(site, "two", DETECTOR)
    assert site.registry(autoload=False).hooks.plugins() == []
    allowed = site.registry(autoload=False, allowlist=frozenset({"one"})).hooks
    assert [ref.name for ref in allowed.plugins()] == ["one"]


def test_the_highest_score_wins_and_ties_go_by_distribution_then_name(site: Any) -> None:
    add_backends(site, "slow", "fast", "also-fast")
    add_hooks(site, "one", proposing("return [propose('slow', 0.2), propose('fast', 0.9)]"))
    add_hooks(site, "two", proposing("return [propose('also-fast', 0.9)]"))
    explanation = site.registry().choose("backend", PROFILE)
    assert [candidate.name for candidate in explanation.candidates] == ["also-fast", "fast", "slow"]
    assert explanation.chosen is not None
    assert (explanation.chosen.name, explanation.chosen.proposed_by) == ("also-fast", "two:two")
    assert explanation.chosen.reason == "scores 0.9"


def test_every_candidate_is_explained_and_nothing_unusable_is_chosen(site: Any) -> None:
    add_backends(site, "usable", "silent", "twice")
    add_backends(site, "twice", distribution="other-backends")
    add_backends(site, "future", distribution="new-backends", requires="sage-infer-contracts>=99")
    proposals = ", ".join(f"propose('{name}', 1.0)" for name in ("absent", "twice", "future"))
    add_hooks(site, "eager", proposing(f"return [{proposals}, propose('usable', 0.1)]"))
    add_hooks(site, "broken", proposing("raise RuntimeError('cannot say')"))
    add_hooks(site, "stray", proposing("return [propose('usable', 1.0, PluginKind.EVICTION)]"))
    explanation = site.registry().explain(PluginKind.BACKEND, PROFILE)
    assert explanation.chosen is not None
    assert explanation.chosen.name == "usable"
    why = {(found.name, found.proposed_by): found.rejected or "" for found in explanation.candidates}
    assert "nothing installed has that name" in why["absent", "eager:eager"]
    assert "use one of these full names" in why["twice", "eager:eager"]
    assert "needs sage-infer-contracts >=99" in why["future", "eager:eager"]
    assert why["silent", None] == "no hook proposed it"
    codes = sorted(problem.code for problem in explanation.problems)
    assert codes == ["hook_failed", "hook_failed", *["proposal_rejected"] * 3]


def test_nothing_is_chosen_when_no_hook_proposes(site: Any) -> None:
    add_backends(site, "lonely")
    with pytest.raises(PluginNotFound, match=r"lonely: no hook proposed it.*name one"):
        site.registry().choose("backend", PROFILE)
    with pytest.raises(Unsupported, match="chosen by name only"):
        site.registry().explain("device", PROFILE)
