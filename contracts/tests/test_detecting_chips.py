"""chips.json: only figures with a source, held to their formulas, found by name before PCI id."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from sage_infer_contracts.detecting.chips import UNITS, Chips, read_chips
from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.devices import Figure
from sage_infer_contracts.errors import InvalidRequest

X1 = {
    "name": "X1",
    "matches": ["X1(-\\d+)?"],
    "pci_devices": ["0001"],
    "figures": {
        "bf16": {"value": 353.9, "source": "a page", "confidence": "high", "per": "die"},
        "compute_units": {"value": 24, "source": "a page"},
        "clock": {"value": 1800, "source": "a page"},
        "fp8": {"value": None, "source": "no page found"},
    },
    "formulas": [{"figure": "bf16", "operations_per_cycle": 8192, "source": "a page"}],
}
X2 = {"name": "X2", "matches": ["X2"], "pci_devices": ["0001", "0002"]}


def chips(*entries: object) -> Chips:
    return Chips.model_validate({"chips": entries})


def test_a_chip_is_found_by_half_its_name_or_against_its_name() -> None:
    both = chips(X1, X2)
    names = [("x1", None), ("X1-64", None), (" X1 ", "0002"), ("X2", "0001"), ("new", "0002"), (None, "0001")]
    found = [both.find(*words) for words in names]
    assert [one and one.name for one in found] == ["X1", "X1", "X1", "X2", "X2", "X1"]
    assert both.find("X1 Pro") is None
    assert both.find(None) is None


def test_an_unknown_figure_is_reported_or_one_without_its_source() -> None:
    described = dict(chips(X1).chips[0].described())
    assert sorted(described) == ["spec_bf16", "spec_clock", "spec_compute_units"]
    assert described["spec_bf16"].unit == UNITS["bf16"]
    assert described["spec_bf16"].source == "per die, high: a page"


BROKEN = {
    "a source is missing": {**X1, "figures": {"bf16": {"value": 1}}},
    "a figure is not known": {**X1, "figures": {"speed": {"value": 1, "source": "s"}}, "formulas": []},
    "a formula does not hold": {**X1, "figures": {**X1["figures"], "clock": {"value": 1500, "source": "s"}}},  # type: ignore[dict-item]
    "a formula lacks a figure": {**X1, "figures": {}},
    "dtypes have no source": {**X2, "dtypes": ["bf16"]},
    "a value is zero": {**X2, "figures": {"bf16": {"value": 0, "source": "s"}}},
    "a pattern is no regular expression": {**X2, "matches": ["X2("]},
}


@pytest.mark.parametrize("entry", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_chip_is_read(entry: object, tmp_path: Path) -> None:
    file = tmp_path / "chips.json"
    file.write_text(json.dumps({"chips": [entry]}))
    with pytest.raises(InvalidRequest, match=r"chips\.json"):
        read_chips(file)


def test_a_good_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "chips.json"
    file.write_text(json.dumps({"chips": [X1, X2]}))
    assert read_chips(file) == chips(X1, X2)


@given(st.text())
def test_a_reported_name_raises(name: str) -> None:
    assert chips(X1, X2).find(name) is None or name.strip()


def test_a_device_takes_its_chips_name_and_figures_and_keeps_its_own() -> None:
    own = Figure(value=1.0, unit="GB/s", source="measured")
    spec = Chips.model_validate({"chips": [{**X1, "dtypes": ["bf16"], "dtypes_source": "a page"}]}).find("X1")
    device = Device(name="X1", figures=(("memory_bandwidth", own),)).with_chip(spec)
    assert (device.name, device.chip, device.dtypes) == ("X1", "X1", ("bf16",))
    assert dict(device.figures)["memory_bandwidth"] == own
    assert "spec_bf16" in dict(device.figures)
    assert device.described("acme").chip == "X1"
    assert device.with_chip(None) == device
