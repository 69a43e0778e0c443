"""The live probe: bounds, missing things, PCI from a made-up sysfs, library scripts that misbehave."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from sage_infer.hal import LiveProbe, probe as probe_module
from sage_infer_contracts.probe import RecordingProbe, Unknown


def add_pci(
    root: Path, bdf: str, *, vendor: str, device: str, kind: str, numa: str = "-1", driver: str = ""
) -> None:
    folder = root / "sys/bus/pci/devices" / bdf
    folder.mkdir(parents=True)
    for name, text in (("vendor", vendor), ("device", device), ("class", kind), ("numa_node", numa)):
        (folder / name).write_text(text + "\n")
    if driver:
        (folder / "driver").symlink_to(f"../../drivers/{driver}")


def test_pci_functions_are_misread(tmp_path: Path) -> None:
    add_pci(
        tmp_path, "0000:41:00.0", vendor="0x1abc", device="0xd802", kind="0x120000", numa="1", driver="acme"
    )
    add_pci(tmp_path, "0000:01:00.0", vendor="0x8086", device="0x10", kind="0x20000")
    devices = LiveProbe(tmp_path).pci_devices()
    assert not isinstance(devices, Unknown)
    first, second = devices
    assert (first.bdf, first.device, first.device_class, first.numa_node, first.driver) == (
        "0000:01:00.0",
        "0010",
        "020000",
        None,
        None,
    )
    assert (second.vendor, second.device_class, second.numa_node, second.driver) == (
        "1abc",
        "120000",
        1,
        "acme",
    )


@pytest.mark.parametrize("vendor", ["", "garbage", "0x123456", "0x12 34"])
def test_a_malformed_pci_function_raises_or_appears(tmp_path: Path, vendor: str) -> None:
    add_pci(tmp_path, "0000:41:00.0", vendor=vendor, device="0xd802", kind="0x120000")
    add_pci(tmp_path, "10000:00:02.0", vendor="0x8086", device="0x1", kind="0x060400")
    assert LiveProbe(tmp_path).pci_devices() == []


def test_a_machine_without_sysfs_has_no_devices_for_sure(tmp_path: Path) -> None:
    assert isinstance(LiveProbe(tmp_path).pci_devices(), Unknown)


def test_files_outside_the_bounds_are_read_whole(tmp_path: Path) -> None:
    probe = LiveProbe(tmp_path)
    (tmp_path / "big").write_bytes(b"x" * (2 * probe_module.FILE_LIMIT_BYTES))
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    assert len(probe.read_file("/big") or "") == probe_module.FILE_LIMIT_BYTES
    assert probe.read_file("/bytes") == "\ufffd\ufffd"
    assert probe.read_file("/absent") is None
    assert probe.read_file("/\x00") is None
    assert probe.read_file("/") is None
    assert probe.list_dir("/") == ("big", "bytes")
    assert probe.list_dir("/big") is None


def test_the_environment_is_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_VISIBLE_DEVICES", "0,1")
    assert LiveProbe().environ("ACME_VISIBLE_DEVICES") == "0,1"
    assert LiveProbe().environ("ACME_ABSENT") is None


def test_a_command_runs_in_a_shell_or_in_another_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    code = "import os, sys; print(os.environ['LC_ALL'], sys.argv[1]); print('oops', file=sys.stderr); sys.exit(18)"
    result = LiveProbe().run([sys.executable, "-c", code, "$HOME; ls"], timeout_s=60)
    assert (result.stdout, result.stderr, result.exit_status) == ("C $HOME; ls\n", "oops\n", 18)


@pytest.mark.parametrize("command", [["no-such-tool-anywhere"], [], ["/no/such/tool"]])
def test_a_missing_program_raises(command: list[str]) -> None:
    assert LiveProbe().run(command, timeout_s=5).missing


def test_a_file_that_is_no_program_raises(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELFnot really")
    (tmp_path / "tool").chmod(0o755)
    result = LiveProbe().run([str(tmp_path / "tool")], timeout_s=5)
    assert not result.missing
    assert "cannot be started" in result.stderr


def test_a_hanging_program_and_its_children_outlive_the_deadline(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    result = LiveProbe().run(["sh", "-c", f"exec 3>{pipe}; echo begun; sleep 600 & wait"], timeout_s=1.0)
    assert result.timed_out
    assert result.exit_status is None
    assert wait_for_end(reader)  # nobody has it open for writing any more
    os.close(reader)


def wait_for_end(reader: int) -> bool:
    """Wait until a pipe has no writer: the child is reaped, what it started may still be on its way out."""
    for _ in range(200):
        try:
            return os.read(reader, 1) == b""
        except BlockingIOError:
            time.sleep(0.05)
    return False


def test_a_deadline_of_the_probe_is_overrun() -> None:
    probe = LiveProbe(deadline=time.monotonic())
    assert probe.run([sys.executable, "-c", "import time; time.sleep(600)"], timeout_s=600).timed_out


def test_endless_output_fills_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "COMMAND_LIMIT_BYTES", 10_000)
    result = LiveProbe().run(["yes"], timeout_s=60)
    assert len(result.stdout) == 10_000
    assert not result.timed_out
    assert "too much" in result.stderr


SCRIPTS = {
    "good": "import json, sys; print(json.dumps({'call': sys.argv[1]}))",
    "missing": "import sys; sys.exit(69)",
    "crash": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "garbage": "print('not json')",
    "raises": "raise RuntimeError('driver says no')",
}


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LiveProbe:
    for name, text in SCRIPTS.items():
        (tmp_path / f"hal_script_{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return LiveProbe()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("good", '"call": "devices"'),
        ("crash", "signal 11"),
        ("garbage", "JSON"),
        ("raises", "driver says no"),
    ],
)
def test_a_library_scripts_failure_is_hidden(scripts: LiveProbe, name: str, expected: str) -> None:
    reply = scripts.library(f"hal_script_{name}", "devices")
    assert reply is not None
    assert expected in reply
    assert ("error" in json.loads(reply)) == (name != "good")


@pytest.mark.parametrize("name", ["hal_script_missing", "hal_script_that_is_not_there"])
def test_a_missing_library_is_an_error(scripts: LiveProbe, name: str) -> None:
    assert scripts.library(name, "devices") is None


def test_a_library_name_becomes_a_program(scripts: LiveProbe) -> None:
    with pytest.raises(ValueError, match="module"):
        scripts.library("-c", "print(1)")


@given(st.text(max_size=40))
def test_any_path_raises(path: str) -> None:
    probe = RecordingProbe(LiveProbe("/nonexistent-root"))
    assert probe.read_file(path) is None
    assert probe.list_dir(path) is None
