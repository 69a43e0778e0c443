"""The catalog lists what metadata says, imports nothing, and turns what is wrong into data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from sage_infer.plugins.catalog import Catalog
from sage_infer.plugins.metadata import canonical_name, entry_lines
from sage_infer_contracts.kinds import PluginKind, check_plugin_name, may_claim

MARKER = "from pathlib import Path\nPath(__file__).with_suffix('.imported').touch()\n"


def codes(catalog: Catalog) -> list[str]:
    return [problem.code for problem in catalog.problems]


def write_dist_info(folder: Path, name: str, metadata: bytes | None, entry_points: bytes) -> Path:
    info = folder / name
    info.mkdir(parents=True)
    if metadata is not None:
        (info / "METADATA").write_bytes(metadata)
    (info / "entry_points.txt").write_bytes(entry_points)
    return info


def test_fifty_plugins_are_listed_quickly_and_none_is_imported(site: Any) -> None:
    wheels = [
        site.build(
            f"fifty-{n}",
            {"sage_infer.eviction.v1": {f"policy{n}": f"fifty_{n}:make"}},
            {f"fifty_{n}": MARKER},
        )
        for n in range(50)
    ]
    site.install(*wheels)
    answer = site.run(
        "import json, sys, time\n"
        "from importlib.metadata import entry_points\n"
        "def spent(work):\n"
        "    start = time.perf_counter(); work(); return time.perf_counter() - start\n"
        "def first():\n"
        "    from sage_infer.plugins.catalog import Catalog\n"
        "    Catalog.scan()\n"
        "own = spent(entry_points)\n"
        "cold = spent(first) - own\n"
        "from sage_infer.plugins.catalog import Catalog\n"
        "beyond = min(spent(Catalog.scan) - spent(entry_points) for _ in range(5))\n"
        "names = [e.name for e in Catalog.scan().entries if e.name.startswith('policy')]\n"
        "loaded = [m for m in sys.modules if m.startswith('fifty_') or m in ('pydantic', 'pluggy', 'stevedore')]\n"
        "print(json.dumps({'beyond': beyond, 'names': names, 'loaded': loaded}))\n"
    )
    assert len(answer["names"]) == 50
    assert answer["loaded"] == []
    assert list(site.path.glob("*.imported")) == []
    assert answer["beyond"] < 0.1


def test_two_distributions_that_claim_one_name_are_a_problem_and_both_are_listed(site: Any) -> None:
    for owner in ("clash-b", "clash-a", "clash-c"):
        site.add(
            owner, {"sage_infer.kv_tier.v1": {"shelf": f"{owner.replace('-', '_')}:make", "own": "x:y"}}, {}
        )
    catalog = site.catalog()
    owners = [entry.distribution for entry in catalog.entries if entry.name == "shelf"]
    assert owners == ["clash-a", "clash-b", "clash-c"]
    problem = next(p for p in catalog.problems if p.code == "clash" and p.name == "shelf")
    assert "clash-a:shelf, clash-b:shelf, clash-c:shelf" in problem.message


@pytest.mark.parametrize(
    ("group", "name", "target", "code"),
    [
        ("sage_infer.backend.v2", "late", "m:f", "unknown_group"),
        ("sage_infer.teapot.v1", "pot", "m:f", "unknown_group"),
        ("sage_infer.admission.v1", "door", "m:f", "reserved_kind"),
        ("sage_infer.backend.v1", "Bad Name", "m:f", "illegal_name"),
        ("sage_infer.backend.v1", "fine", "not a target", "illegal_target"),
        ("sage_infer.backend.v1", "cpu", "m:f", "reserved_name"),
    ],
)
def test_an_entry_that_can_never_load_is_a_problem_and_no_entry(
    site: Any, group: str, name: str, target: str, code: str
) -> None:
    site.add("odd-one", {group: {name: target}}, {})
    catalog = site.catalog()
    assert catalog.entries == ()
    assert codes(catalog) == [code]
    assert "odd-one" in catalog.problems[0].message


def test_another_contract_major_is_explained(site: Any) -> None:
    site.add("from-the-future", {"sage_infer.backend.v2": {"late": "m:f"}}, {})
    (problem,) = site.catalog().problems
    assert "this host speaks sage_infer.backend.v1" in problem.message
    assert "major '2'" in problem.message


def test_the_owner_of_a_reserved_name_may_use_it() -> None:
    assert may_claim("cpu", "sage-infer-cpu")
    assert may_claim("cpu", "sage-infer-host")
    assert not may_claim("cpu", "sage-infer-acme")
    assert may_claim("acme", "whatever")


def test_commands_are_no_plugins_and_no_problem(site: Any) -> None:
    site.add("with-command", {"sage_infer.commands": {"hello": "m:f"}}, {})
    assert site.catalog() == Catalog()


def test_damaged_metadata_is_a_problem_and_hides_nobody_else(site: Any) -> None:
    good = b"Metadata-Version: 2.1\nName: good\nVersion: 1\n"
    entry = b"[sage_infer.eviction.v1]\nname = m:f\n"
    write_dist_info(site.path, "good-1.dist-info", good, entry)
    write_dist_info(site.path, "gone-1.dist-info", None, entry)
    write_dist_info(site.path, "nameless-1.dist-info", b"Metadata-Version: 2.1\n", entry)
    write_dist_info(site.path, "binary-1.dist-info", good, b"[sage_infer.eviction.v1]\n\xff\xfe = m:f\n")
    write_dist_info(
        site.path, "broken-1.dist-info", good.replace(b"good", b"broken"), entry + b"no equals sign\n"
    )
    marker = b"Requires-Dist: sage-infer-contracts>=1; nonsense ==\n"
    write_dist_info(site.path, "marked-1.dist-info", good.replace(b"good", b"marked") + marker, entry)
    catalog = site.catalog()
    assert "good" in [entry.distribution for entry in catalog.entries]
    assert codes(catalog).count("metadata_unreadable") == 5
    assert {"gone", "marked", "nameless"}.isdisjoint(entry.distribution for entry in catalog.entries)


def test_the_first_of_two_installations_wins_as_it_does_for_imports(
    make_site: Callable[[str], Any], tmp_path: Path
) -> None:
    first, second = make_site("first"), make_site("second")
    first.add("twice", {"sage_infer.eviction.v1": {"lru": "m:f"}}, {}, version="1.0")
    second.add("Twice", {"sage_infer.eviction.v1": {"lru": "m:f", "lfu": "m:g"}}, {}, version="2.0")
    catalog = Catalog.scan(path=[str(first.path), str(second.path)])
    assert [(entry.name, entry.version) for entry in catalog.entries] == [("lru", "1.0")]
    assert codes(catalog) == ["duplicate_distribution"]
    assert Catalog.scan(path=[str(first.path), str(first.path)]).problems == ()
    link = tmp_path / "link"
    link.symlink_to(first.path)
    assert Catalog.scan(path=[str(first.path), str(link)]).problems == ()


def test_one_distribution_that_names_a_plugin_twice_is_a_problem(site: Any) -> None:
    metadata = b"Metadata-Version: 2.1\nName: stutter\nVersion: 1\n"
    write_dist_info(
        site.path, "stutter-1.dist-info", metadata, b"[sage_infer.eviction.v1]\nx = m:f\nx = m:g\n"
    )
    catalog = site.catalog()
    assert [entry.target for entry in catalog.entries] == ["m:f"]
    assert codes(catalog) == ["duplicate_entry"]


def test_a_scan_can_be_limited_to_groups(site: Any) -> None:
    groups = {"sage_infer.eviction.v1": {"a": "m:f"}, "sage_infer.kv_tier.v1": {"b": "m:f"}}
    site.add("both", groups, {})
    catalog = Catalog.scan(path=[str(site.path)], groups=[PluginKind.EVICTION.group])
    assert [entry.name for entry in catalog.entries] == ["a"]
    assert [entry.name for entry in site.catalog().of_kind(PluginKind.KV_TIER)] == ["b"]


@pytest.mark.parametrize(
    ("requirement", "floor"),
    [
        ("sage-infer-contracts>=0.1", ">=0.1"),
        ("Sage_Infer.Contracts[yaml] (>=0.1,<2)", ">=0.1,<2"),
        ("sage-infer-contracts", None),
        ("sage-infer-contracts>=9; extra == 'new'", None),
        ("sage-infer-contracts>=0.2 ; python_version > '3'", ">=0.2"),
        ("something-else>=1", None),
        (None, None),
    ],
)
def test_the_contract_floor_is_read_from_requires_dist(
    site: Any, requirement: str | None, floor: str | None
) -> None:
    site.add("floors", {"sage_infer.eviction.v1": {"a": "m:f"}}, {}, requires=requirement)
    (entry,) = site.catalog().entries
    assert entry.requires_contract == (floor or None)


@given(st.text(max_size=200))
def test_no_entry_point_text_does_more_than_raise_value_error(text: str) -> None:
    try:
        lines = list(entry_lines(text))
    except ValueError:
        return
    assert all(group and isinstance(target, str) for group, _, target in lines)


@given(st.from_regex(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*", fullmatch=True))
def test_a_legal_name_stays_itself_and_its_distribution_spelling_is_stable(name: str) -> None:
    assert check_plugin_name(name) == name
    assert canonical_name(canonical_name(name)) == canonical_name(name.upper())
