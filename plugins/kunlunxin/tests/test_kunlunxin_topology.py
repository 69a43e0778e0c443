"""The matrix of links and the kernel's log."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st
from kunlunxin_texts import NOISE, with_noise

from sage_infer_kunlunxin.parsing.kernel_log import parse_kernel_log
from sage_infer_kunlunxin.parsing.topology import parse_topology
from sage_infer_kunlunxin.simulated import formats, formats_tables
from sage_infer_kunlunxin.simulated.cards import p800

EIGHT = p800(8)
GROUPS = {
    (one, other): "XL" if one // 4 == other // 4 else "SYS" for one in range(8) for other in range(one + 1, 8)
}


@pytest.mark.parametrize(
    "network", [(), ("NIC0", "NIC1"), ("mlx5_0", "bnxt_re1"), ("hns_0", "irdma2", "mlx5_bond_7")]
)
def test_links_of_eight_cards_in_two_groups_are_misread(network: tuple[str, ...]) -> None:
    found = parse_topology(formats_tables.topology(EIGHT, cards_of_network=network))
    assert (found.links, found.contradictions) == (GROUPS, ())
    assert found.numa == {number: number // 4 for number in range(8)}


@given(line=st.integers(0, 20), noise=st.sampled_from(NOISE))
@settings(max_examples=40, deadline=None)
def test_noise_changes_links(line: int, noise: str) -> None:
    assert parse_topology(with_noise(formats_tables.topology(EIGHT), line, noise)).links == GROUPS


def test_a_cut_matrix_invents_a_link() -> None:
    text = formats_tables.topology(EIGHT)
    for at in range(0, len(text), 3):
        found = parse_topology(text[:at])
        assert found.links.items() <= GROUPS.items()
        assert not found.contradictions
        assert found.numa.items() <= {number: number // 4 for number in range(8)}.items()


def test_a_matrix_that_contradicts_itself_is_believed() -> None:
    rows = formats_tables.topology(EIGHT).split("\n")
    rows[5] = rows[5].replace("SYS", "XL ", 1)  # XPU4 says XL of XPU0, which says SYS
    found = parse_topology("\n".join(rows))
    assert found.contradictions == ("XPU0 calls its link to XPU4 SYS, and XPU4 XL",)
    assert found.links == {pair: kind for pair, kind in GROUPS.items() if pair != (0, 4)}


def test_what_is_no_link_is_a_kind() -> None:
    text = "      XPU0 XPU1 CPU Affinity NUMA Affinity\nXPU0  X N/A 0-7 N/A\nXPU1  - X 8-15 0-1\n"
    found = parse_topology(text)
    assert (found.links, found.numa) == ({}, {})


def test_one_card_has_no_node() -> None:
    assert parse_topology("      XPU0 CPU Affinity NUMA Affinity\nXPU0  X 0-7 1\n").numa == {0: 1}


def test_a_hung_card_is_not_named() -> None:
    log = parse_kernel_log(formats.kernel_log(EIGHT[1], EIGHT[6]))
    assert set(log) == {EIGHT[1].bdf, EIGHT[6].bdf}
    state, reason = log[EIGHT[6].bdf].verdict()
    assert state == "failed"
    assert "KL_XID_KERNEL_EXCEPTION (1), XPUERR_KEXCEPTION (1), kl3_wait_for_noc_idle() timeout (1)" in reason
    assert "last at 8003.500000" in reason


def test_a_program_that_failed_condemns_its_card() -> None:
    line = "[  5.0] KLRM: Xid (PCI:0000:03:00): 0, pid=1, name=python, KL_XID_KERNEL_EXCEPTION, ch=0\n"
    state, reason = parse_kernel_log(line)["0000:03:00.0"].verdict()
    assert (state, reason.endswith("a faulty card or a faulty program")) == ("degraded", True)


@pytest.mark.parametrize(
    "line",
    [
        "KLRM: (PCI:0000:03:00): [INFO] vstream[0] sess[1] tainted",
        "KLRM: (PCI:0000:03:00): [INFO] device is up",
        "NVRM: Xid (PCI:0000:03:00): 79, GPU has fallen off the bus",
        "amdgpu 0000:03:00.0: wait_for_noc_idle() timeout",
    ],
)
def test_another_line_condemns_a_card(line: str) -> None:
    assert parse_kernel_log(line + "\n") == {}
