"""Masking: what names a machine is gone everywhere, and a detector reads the same machine as before."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, strategies as st

from sage_infer.hal.masking import masked
from sage_infer_contracts.probe import CommandResult, PciDevice, ProbeRecording

UUIDS = [
    str(uuid.UUID(int=((0x8F1C7A52 + number * 0x01020304) << 96) + number * 7919**7 + 11))
    for number in range(3)
]
SERIALS = ("1320922003456", "0200210302000998", "TS2136D0071", "P1234X", "8C4A7B2C 12345678 9ABCDEF0")
HOST = "gpu-node17"
SECRETS = (
    *UUIDS,
    *SERIALS,
    HOST,
    "0c:42:a1:5f:9e:01",
    "10.23.4.17",
    "506b:4b03:00f4:a1b2",
    "alice",
    "fe80::e42:a1ff:fe5f:9e01",
)
TOOL = f"""\
Driver Version: 5.0.21.47    XPU-RT 4.0
Hostname : {HOST}.example.org
Product Name : X1-64
    Serial Number                     : {SERIALS[0]}
    GPU UUID                          : GPU-{UUIDS[0]}
    VDie ID : {SERIALS[4]}
    Bus-Id : 0000:0A:00.0   Device Id : 0x36862057
<serial>{SERIALS[2]}</serial><uuid>GPU-{UUIDS[1].upper()}</uuid>
| DevID |   PCI Addr   | Model |        SN        |   INODE   |
|     0 | 0000:06:00.0 | K200  | {SERIALS[1]} | /dev/xpu0 |
index, serial, uuid
0, {SERIALS[3]}, GPU-{UUIDS[2]}
1, [N/A], GPU-{UUIDS[1]}
link/ether 0c:42:a1:5f:9e:01 inet 10.23.4.17/24 inet6 fe80::e42:a1ff:fe5f:9e01
GID 506b:4b03:00f4:a1b2 lo 127.0.0.1
"""
RECORDING = ProbeRecording(
    pci=(PciDevice(bdf="0000:0a:00.0", vendor="1abc", device="0001", device_class="120000"),),
    files={
        "/etc/hostname": f"{HOST}\n",
        f"/proc/acme/{UUIDS[0]}/info": f"uuid of {UUIDS[0]} on {HOST}\n",
        "/sys/acme/serial": f"{SERIALS[3]}\n",
        "/sys/module/acme/version": "6.2.31.4\n",
    },
    directories={"/proc/acme": (UUIDS[0],)},
    environment={
        "VISIBLE": f"GPU-{UUIDS[2]},GPU-{UUIDS[1][:6]}",
        "PATH": "/home/alice/bin:/usr/bin",
        "HOSTNAME": HOST,
    },
    commands={
        "acme-smi": CommandResult(stdout=TOOL),
        f"acme-smi -i GPU-{UUIDS[0]}": CommandResult(stderr=f"{HOST}: lost"),
    },
    libraries={"acme.lib:devices": f'{{"uuid": "GPU-{UUIDS[0]}", "serial": "{SERIALS[0]}"}}'},
    note=f"from {HOST}",
)


def test_a_secret_is_left_somewhere() -> None:
    text = masked(RECORDING).model_dump_json().lower()
    assert [secret for secret in SECRETS if secret.lower() in text] == []
    assert f"gpu-{UUIDS[1][:6]}".lower() not in text


def test_what_a_detector_reads_is_masked() -> None:
    found = masked(RECORDING)
    text = found.commands["acme-smi"].stdout
    for kept in (
        "5.0.21.47",
        "X1-64",
        "0000:0A:00.0",
        "0x36862057",
        "K200",
        "/dev/xpu0",
        "[N/A]",
        "127.0.0.1",
    ):
        assert kept in text
    assert found.pci == RECORDING.pci
    assert found.files["/sys/module/acme/version"] == "6.2.31.4\n"
    assert [len(line) for line in text.splitlines()[:12]] == [len(line) for line in TOOL.splitlines()[:12]]


def test_the_same_value_has_two_masks() -> None:
    found = masked(RECORDING)
    lines = found.commands["acme-smi"].stdout.splitlines()
    mask = lines[4].split("GPU-")[1]
    assert uuid.UUID(mask)
    assert list(found.files)[1] == f"/proc/acme/{mask}/info"
    assert found.directories["/proc/acme"] == (mask,)
    assert list(found.commands)[1] == f"acme-smi -i GPU-{mask}"
    assert f"GPU-{mask}" in (found.libraries["acme.lib:devices"] or "")
    second = lines[7].split("GPU-")[1].split("<")[0]
    assert second == second.upper()
    assert f"GPU-{second.lower()}" in lines[12]
    visible = (found.environment["VISIBLE"] or "").split(",")
    assert f"GPU-{second.lower()}".startswith(visible[1])
    assert visible[0] in lines[11]


def test_masks_can_be_guessed_or_differ_under_one_key() -> None:
    assert masked(RECORDING) != masked(RECORDING)
    assert masked(RECORDING, key=b"k") == masked(RECORDING, key=b"k")


def test_a_given_hostname_is_left() -> None:
    recording = ProbeRecording(commands={"t": CommandResult(stdout="at box-9: ok, box-99, localhost\n")})
    text = masked(recording, hostnames=["box-9.lan", "localhost", ""]).commands["t"].stdout
    assert "box-9:" not in text
    assert "box-99, localhost" in text


@pytest.mark.parametrize(
    "text", ["Serial Number : N/A", "UUID: 0", "SN: 0000000000", "serial: [N/A]", "UUID : GPU-0"]
)
def test_no_value_is_masked(text: str) -> None:
    recording = ProbeRecording(commands={"t": CommandResult(stdout=text)})
    assert masked(recording) == recording


@given(st.lists(st.uuids(version=4), unique=True, min_size=2, max_size=5), st.text())
def test_two_values_have_one_mask(values: list[uuid.UUID], noise: str) -> None:
    text = "".join(f"{noise}\nGPU-{value}\n" for value in values)
    recording = ProbeRecording(commands={"t": CommandResult(stdout=text)})
    again = masked(recording).commands["t"].stdout
    found = {word for word in again.split() if word.startswith("GPU-") and len(word) == 40}
    assert len(found) >= len(values)
    assert not any(str(value) in again for value in values)
