"""The rules of packages as what they are: functions of facts."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sage_infer_conformance.history.steps import Raised
from sage_infer_conformance.judging.rules import Check
from sage_infer_conformance.package_rules import rules
from sage_infer_conformance.package_rules.facts import (
    Entries,
    Entry,
    Metadata,
    Origin,
    Owner,
    PackageFacts,
    Start,
    Starts,
    Use,
    Window,
)
from sage_infer_conformance.package_rules.frameworks import is_vendor_bound
from sage_infer_contracts.launch import VersionWindow

FLOOR = "sage-infer-contracts>=0.1"
ENTRY = Entry(group="sage_infer.eviction.v1", name="sample", value="sage_sample.plugin:Policy")
UNAVAILABLE = Raised(type="DeviceUnavailable", code="device_unavailable", message="nothing to be done")


def facts(
    *,
    requires: tuple[str, ...] = (FLOOR,),
    use: Use | None = None,
    bare: Use | None = None,
    windows: tuple[Window, ...] = (),
    started: tuple[Start, ...] = (),
    after: str | None = None,
    subject: str = "sample",
    claims: tuple[str, ...] = ("sage-sample",),
    version: str | None = "1.0",
    entry: Entry = ENTRY,
) -> PackageFacts:
    metadata = Metadata(
        name="sage-sample",
        version=version,
        summary="x",
        license="MIT",
        requires_python=">=3.11",
        requires=requires,
    )
    return PackageFacts(
        subject=subject,
        distribution="sage-sample",
        metadata=metadata,
        claims=claims,
        loading=Entries(entries=(entry,), windows=windows),
        starts=Starts(use=use or Use(), started=started, default_after=after),
        bare=bare or Use(),
    )


def faults(found: Iterable[Check]) -> list[str]:
    return [check.says for check in found if check.says is not None]


@pytest.mark.parametrize(
    ("requires", "says"),
    [
        ((FLOOR,), None),
        (("Sage_Infer.Contracts>0.1,!=0.2",), None),
        ((f'{FLOOR}; python_version >= "3.8"', "attrs<99"), None),
        (("attrs",), "does not require"),
        ((f'{FLOOR}; extra == "all"',), "does not require"),
        (("sage-infer-contracts",), "sets no floor"),
        (("sage-infer-contracts!=0.1",), "sets no floor"),
        (("sage-infer-contracts~=0.1",), "caps or pins"),
        (("sage-infer-contracts>=0.1,<1",), "caps or pins"),
        (("sage-infer-contracts===0.1",), "caps or pins"),
        (("sage-infer-contracts @ file:///x.whl",), "caps or pins"),
    ],
)
def test_contracts_are_required_from_a_version_on(requires: tuple[str, ...], says: str | None) -> None:
    found = faults(rules.metadata_complete(None, facts(requires=requires)))
    assert [says in text for text in found] == ([] if says is None else [True])


def test_metadata_and_entry_points_are_named_that_are_wrong() -> None:
    wrong = facts(
        version="one", entry=ENTRY.model_copy(update={"error": Raised(type="ImportError", message="gone")})
    )
    assert [("Version" in text, "gone" in text) for text in faults(rules.metadata_complete(None, wrong))] == [
        (True, False),
        (False, True),
    ]


def test_an_entry_module_that_loads_a_framework_is_named() -> None:
    heavy = facts(entry=ENTRY.model_copy(update={"heavy": ("torch",)}))
    assert "imports torch" in faults(rules.light_entry_module(None, heavy))[0]
    assert faults(rules.light_entry_module(None, facts())) == []


@pytest.mark.parametrize(
    ("message", "holds"),
    [
        ("run: pip install 'sage-sample[runtime]'", True),
        ("acme_sdk is missing", True),
        ("this needs sage-sample[runtime]", True),
        ("libacme.so was not found; please install the driver 5.1", True),
        ("the SDK is not installed", False),
        ("no device", False),
        ("", False),
    ],
)
def test_what_to_install_has_to_be_said(message: str, holds: bool) -> None:
    raised = UNAVAILABLE.model_copy(update={"message": message})
    found = facts(requires=(FLOOR, 'acme-sdk>=2; extra == "runtime"'), bare=Use(error=raised))
    assert (faults(rules.works_without_sdk(None, found)) == []) is holds


def test_without_anything_to_install_nothing_has_to_be_said() -> None:
    assert faults(rules.works_without_sdk(None, facts(bare=Use(error=UNAVAILABLE)))) == []


def test_an_error_that_comes_with_everything_installed_too_is_no_matter_of_extras() -> None:
    error = Raised(type="InvalidRequest", code="invalid_request", message="no model at /there")
    elsewhere = error.model_copy(update={"message": "no model at /elsewhere"})
    assert faults(rules.works_without_sdk(None, facts(use=Use(error=error), bare=Use(error=elsewhere)))) == []
    assert "not DeviceUnavailable" in faults(rules.works_without_sdk(None, facts(bare=Use(error=error))))[0]
    refused = Use(refusal=Raised(type="ModuleNotFoundError", message="acme_sdk"))
    assert "cannot be loaded" in faults(rules.works_without_sdk(None, facts(bare=refused)))[0]


def test_a_vendors_build_is_an_extra() -> None:
    found = faults(
        rules.works_without_sdk(None, facts(requires=(FLOOR, "torch>=2", "torch_npu", "nvidia-nccl-cu13")))
    )
    assert "nvidia-nccl-cu13, torch-npu does not install" in found[0]
    assert not is_vendor_bound("torch")
    assert is_vendor_bound("vllm-ascend")


def test_a_binding_in_pure_python_that_installs_anywhere_has_to_be_an_extra() -> None:
    assert faults(rules.works_without_sdk(None, facts(requires=(FLOOR, "nvidia-ml-py>=12.535")))) == []
    assert not is_vendor_bound("nvidia-ml-py")
    assert is_vendor_bound("nvidia-cuda-runtime")


def test_started_processes_come_to_the_same_end() -> None:
    hang = Use(error=Raised(type="Hang", message="no end", fate="hang"))
    good, bad = Start(method="spawn", use=Use(steps=3)), Start(method="fork-server", use=hang)
    assert faults(rules.safe_to_start(None, facts(started=(good,)))) == []
    assert "fork-server ends with Hang" in faults(rules.safe_to_start(None, facts(started=(good, bad))))[0]
    assert "None became fork" in faults(rules.safe_to_start(None, facts(after="fork")))[0]


def window(minimum: str = "0.32", below: str | None = "0.33", installed: str | None = None) -> Window:
    declared = VersionWindow(distribution="vllm", minimum=minimum, below=below)
    return Window(name="vllm", declared=declared, installed=installed)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (window(), None),
        (window(installed="0.32.9+cpu"), None),
        (window(installed="0.33"), "is what it runs with"),
        (window(below=None), "no upper end"),
        (window(minimum="0.33"), "is empty"),
        (window(minimum="latest"), "cannot be read"),
        (window(minimum="0.30"), "rules out"),
        (Window(name="vllm"), "does not resolve"),
        (window().model_copy(update={"name": "torch"}), "is about vllm"),
    ],
)
def test_a_window_is_closed_true_and_what_is_required(found: Window, says: str | None) -> None:
    adapter = facts(requires=(FLOOR, 'vllm>=0.32; extra == "engine"'), windows=(found,))
    texts = faults(rules.declares_tested_versions(None, adapter))
    assert any(says in text for text in texts) if says else texts == []


def test_who_adapts_nothing_declares_nothing_and_who_runs_on_a_framework_does() -> None:
    assert faults(rules.declares_tested_versions(None, facts())) == []
    assert "adapts torch" in faults(rules.declares_tested_versions(None, facts(requires=(FLOOR, "torch"))))[0]
    assert "runs on jax" in faults(rules.declares_tested_versions(None, facts(use=Use(heavy=("jax",)))))[0]


@pytest.mark.parametrize(
    ("owners", "says"),
    [
        ((Owner(name="sage-sample", publishes_drivers=True),), None),
        ((Owner(name="acme-policies", is_required=True),), None),
        ((Owner(name="sage-other", publishes_drivers=True, is_required=True),), "belongs to sage-other"),
        ((Owner(name="unrelated"),), "belongs to unrelated"),
        ((Owner(name="sage-sample", has_changed=True), Owner(name="sage-other")), "not the file"),
        ((), "did not install"),
    ],
)
def test_the_module_is_the_packages_own_or_a_librarys(owners: tuple[Owner, ...], says: str | None) -> None:
    use = Use(module=Origin(what="module sage_sample.plugin", file="/x/plugin.py", owners=owners))
    texts = faults(rules.runs_what_was_named(None, facts(use=use)))
    assert [says in text for text in texts] == ([] if says is None else [True])


def test_a_name_is_one_packages() -> None:
    both = ("sage-other", "sage-sample")
    assert (
        "claimed by sage-other, sage-sample" in faults(rules.runs_what_was_named(None, facts(claims=both)))[0]
    )
    chosen = facts(claims=both, subject="Sage_Sample:sample")
    assert faults(rules.runs_what_was_named(None, chosen)) == []
    assert "was found" in faults(rules.runs_what_was_named(None, facts(subject="sage-other:sample")))[0]
    made = Use(
        made=Origin(what="class x.Made"), unlike_driver="the subject makes Made, and the driver is Shipped"
    )
    assert faults(rules.runs_what_was_named(None, facts(use=made))) == [made.unlike_driver]
