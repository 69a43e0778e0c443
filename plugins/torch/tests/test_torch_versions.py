"""The engine says when it runs with frameworks that it was not tested with."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from sage_infer_torch import hooks, versions


def installed(monkeypatch: pytest.MonkeyPatch, **found: str) -> None:
    def version(name: str) -> str:
        if name not in found:
            raise PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(versions, "version", version)


def test_the_tested_versions_pass_whatever_build_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, torch=f"{versions.TORCH.minimum}+cpu", transformers=versions.TRANSFORMERS.minimum)
    assert versions.untested() == ()
    (line,) = hooks.sage_infer_doctor()
    assert "inside the tested windows" in line.text


@pytest.mark.parametrize(
    ("found", "says"), [("2.14.0", "2.14.0 is installed"), ("2.12.1", "2.12.1 is installed"), ("dev", "dev")]
)
def test_other_versions_are_named_and_not_refused(
    monkeypatch: pytest.MonkeyPatch, found: str, says: str
) -> None:
    installed(monkeypatch, torch=found, transformers=versions.TRANSFORMERS.minimum)
    (text,) = versions.untested()
    assert says in text
    assert [line.ok for line in hooks.sage_infer_doctor()] == [True]


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch)
    assert [text.split()[0] for text in versions.untested()] == ["torch", "transformers"]
