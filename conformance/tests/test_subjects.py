"""What a name means: an author's subject first, and the driver where a kind is asked that the subject is not."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from sage_infer_conformance.running import subjects
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.testing import Subject

BACKEND = Subject("backend", dict)
HERE = __name__


def embedding() -> None:
    """Stands for a driver's factory."""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """Entry points as if they were installed, found by group as the real ones are."""
    points: list[EntryPoint] = []

    def of_group(*, group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(subjects, "entry_points", of_group)
    return points


def test_the_authors_subject_comes_before_the_driver(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("acme", f"{HERE}:BACKEND", PluginKind.CONFORMANCE.group))
    installed.append(EntryPoint("acme", f"{HERE}:embedding", PluginKind.EMBEDDING.group))
    assert subjects.find_subject("acme").subject is BACKEND


def test_a_kind_that_the_subject_is_not_means_the_driver_of_that_name(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("acme", f"{HERE}:BACKEND", PluginKind.CONFORMANCE.group))
    installed.append(EntryPoint("acme", f"{HERE}:embedding", PluginKind.EMBEDDING.group))
    found = subjects.find_subject("acme", "embedding")
    assert found.subject.kind == "embedding"
    assert found.target == f"{HERE}:embedding"


def test_a_kind_that_nothing_of_that_name_has_is_refused(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("acme", f"{HERE}:BACKEND", PluginKind.CONFORMANCE.group))
    with pytest.raises(InvalidRequest, match="of kind backend, not embedding"):
        subjects.find_subject("acme", "embedding")
