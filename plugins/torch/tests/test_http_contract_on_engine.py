"""The HTTP tests of the server, which core runs on a scripted backend, hold on the real engine too."""

from __future__ import annotations

from pathlib import Path

import pytest
from http_checks import contract_holds
from served import serve

pytestmark = pytest.mark.engine


def test_the_http_contract_holds_on_the_real_engine(tmp_path: Path) -> None:
    with serve(tmp_path, "--embedding", "demo-embed", "--log-level", "warning") as served:
        contract_holds(served)
