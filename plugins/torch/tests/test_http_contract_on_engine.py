"""The HTTP tests of the server, which core runs on a scripted backend, hold on the real engine too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from served import serve

pytestmark = pytest.mark.engine
ROOT = Path(__file__).resolve().parents[3]


def test_the_http_contract_holds_on_the_real_engine(tmp_path: Path) -> None:
    with serve(tmp_path, "--embedding", "demo-embed", "--log-level", "warning") as served:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "core/tests/serving/test_http_contract.py"],
            cwd=ROOT,
            env={**os.environ, "SAGE_INFER_TEST_SERVER_URL": f"http://127.0.0.1:{served.port}"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:]
        served.wait_idle()
        assert served.metric("sage:kv_cache_usage_perc") == 0.0
