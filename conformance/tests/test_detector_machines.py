"""Recorded machines are read from a folder, and what is none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.testing import RecordedMachine, machines_in


def test_machines_in_a_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "bare.json").write_text('{"note": "a plain recording"}', encoding="utf-8")
    (tmp_path / "known.json").write_text(
        '{"recording": {}, "state": "absent", "devices": 0}', encoding="utf-8"
    )
    (tmp_path / "notes.txt").write_text("no recording", encoding="utf-8")
    found = machines_in(tmp_path)
    assert set(found) == {"bare", "known"}
    assert found["bare"].recording.note == "a plain recording"
    assert isinstance(found["known"], RecordedMachine)
    assert (found["known"].state, found["known"].devices) == ("absent", 0)
    (tmp_path / "wrong.json").write_text('{"pci": 3}', encoding="utf-8")
    with pytest.raises(InvalidRequest, match=r"wrong\.json"):
        machines_in(tmp_path)
