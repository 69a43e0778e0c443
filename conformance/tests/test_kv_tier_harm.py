"""The means to harm a tier do what they say, and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_infer_conformance.kinds.kv_tier.damage import do_damage
from sage_infer_conformance.kinds.kv_tier.faults import Faults
from sage_infer_conformance.kinds.kv_tier.regions import Regions
from sage_infer_conformance.kinds.kv_tier.steps import Damage, Fault


def test_a_full_device_takes_half_of_a_write_and_no_more(tmp_path: Path) -> None:
    inside, outside = tmp_path / "tier", tmp_path / "other"
    inside.mkdir()
    faults = Faults(str(inside))
    faults.install()
    try:
        faults.arm(Fault(kind="no_space", calls=1))
        with (inside / "block").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            file.write(b"12345678")
        outside.write_bytes(b"fine")
        faults.heal()
        (inside / "another").write_bytes(b"fine again")
    finally:
        faults.uninstall()
    assert (inside / "block").read_bytes() == b"1234"
    assert outside.read_bytes() == b"fine"


def test_damage_finds_the_bytes_of_the_block_that_is_meant(tmp_path: Path) -> None:
    from sage_infer_conformance.kinds.kv_tier.contents import content_of

    contents = {key: content_of("a", key, 0, 512) for key in ("x", "y")}
    for key, data in contents.items():
        (tmp_path / key).write_bytes(b"head" + data)
    assert do_damage(str(tmp_path), Damage(kind="flip", keys=("y",), nbytes=512, pick=7))
    assert (tmp_path / "x").read_bytes() == b"head" + contents["x"]
    assert (tmp_path / "y").read_bytes() != b"head" + contents["y"]
    do_damage(str(tmp_path), Damage(kind="swap_files", keys=("x", "y"), nbytes=512))
    assert (tmp_path / "y").read_bytes() == b"head" + contents["x"]


def test_regions_tell_who_wrote_beside_them() -> None:
    import ctypes

    regions = Regions(2, 100)
    assert regions.outside() == regions.changed() == 0
    ctypes.memset(regions.regions[0].address, 0, 100)
    assert (regions.outside(), regions.changed()) == (0, 1)
    ctypes.memset(regions.regions[1].address + 100, 0, 1)
    assert regions.outside() == 1
