"""Links and agents: read back from what the tools print, damaged, and contradicting themselves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings, strategies as st

from sage_infer_contracts.testing.damage import Damage
from sage_infer_hygon.parsing.rocminfo import parse_rocminfo
from sage_infer_hygon.parsing.topology import links_of, parse_topology
from sage_infer_hygon.simulated import formats, formats_runtime
from sage_infer_hygon.simulated.cards import Card, bw_cards, k100_cards, z100_cards

FAMILIES = [formats.NEW, formats.Z100_ERA, formats.ROCM_ERA]
KINDS = st.sampled_from(["PCIE", "XGMI", "HYSWITCH", "HYBRID", "XHCL", "NEWLINK7"])


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(2, 8),
    data=st.data(),
    label=st.sampled_from([formats.NEW, formats.Z100_ERA, formats.ROCM_ERA]),
)
def test_links_do_not_come_back(count: int, data: st.DataObject, label: formats.Family) -> None:
    cards = bw_cards(count)
    pairs = [(one, other) for one in range(count) for other in range(one + 1, count)]
    kinds = {pair: data.draw(KINDS) for pair in pairs}
    both = kinds | {(other, one): kind for (one, other), kind in kinds.items()}
    text = formats_runtime.topology_text(cards, label, both)
    wide = Damage(widen=data.draw(st.integers(0, 9)), before=("GPU[x] noise", "HCU[0]"), after=("bye",)).text(
        text
    )
    for one in (parse_topology(text), parse_topology(wide)):
        assert links_of(one).kinds == kinds
        assert links_of(one).disagreements == ()
        assert one.numa_nodes == {card.index: card.numa_node for card in cards}
        assert (one.hops[0, 0], one.weights[0, 0], one.accessible[0, 0]) == ("0", "0", "TRUE")


def test_two_directions_that_differ_are_believed() -> None:
    kinds = {(0, 1): "XGMI", (1, 0): "PCIE"}
    links = links_of(parse_topology(formats_runtime.topology_text(bw_cards(3), formats.NEW, kinds)))
    assert set(links.kinds) == {(0, 2), (1, 2)}
    assert links.disagreements == ("the link between 0 and 1 is PCIE and XGMI",)


def test_links_in_json_are_not_read() -> None:
    pairs = {(0, 1): "XGMI", (0, 2): "HSW", (1, 2): "XGMI"}
    system = {
        f"(Topology) Link type between DRM devices {one} and {other}": word
        for (one, other), word in pairs.items()
    }
    cards = {f"card{at}": {"(Topology) Numa Node": "0"} for at in range(3)}
    text = json.dumps({**cards, "system": system}, indent=1)
    assert links_of(parse_topology(text)).kinds == pairs


def test_cards_that_cannot_reach_each_other_are_linked() -> None:
    text = formats_runtime.topology_text(bw_cards(2), formats.NEW).replace("TRUE", "FALSE")
    assert links_of(parse_topology(text)).kinds == {}


def test_numa_of_rocm_is_not_read() -> None:
    text = (
        "GPU[0]\t\t: (Topology) Numa Node: 3\nHCU[1]\t\t: (Topology) Numa Node 2\nHCU[2]\t\t: Numa Node: -1\n"
    )
    assert parse_topology(text).numa_nodes == {0: 3, 1: 2}


def test_a_cut_topology_invents_a_card_or_a_link() -> None:
    text = formats_runtime.topology_text(bw_cards(3), formats.NEW)
    whole = parse_topology(text)
    for at in range(len(text)):
        cut = parse_topology(text[:at])
        assert cut.cards <= whole.cards
        assert cut.link_types.items() <= whole.link_types.items()
        assert links_of(cut).kinds.items() <= links_of(whole).kinds.items()


@pytest.mark.parametrize("cards", [bw_cards(4), k100_cards(2), z100_cards(4)], ids=["BW", "K100_AI", "Z100"])
@pytest.mark.parametrize("family", FAMILIES, ids=["HCU", "DCU", "GPU"])
def test_agents_do_not_come_back(cards: list[Card], family: formats.Family) -> None:
    found = parse_rocminfo(formats_runtime.rocminfo_text(cards, family))
    assert [
        (one.order, one.architecture, one.bdf, one.chip_id, one.compute_units, one.memory_bytes, one.is_hygon)
        for one in found
    ] == [
        (
            card.agent,
            card.architecture,
            card.bdf,
            card.device_id,
            card.compute_units,
            card.memory_mib * 2**20,
            True,
        )
        for card in sorted(cards, key=lambda one: one.agent)
    ]


def test_a_cut_rocminfo_invents_an_agent() -> None:
    text = formats_runtime.rocminfo_text(bw_cards(2), formats.NEW)
    whole = {one.order: one for one in parse_rocminfo(text)}
    for at in range(len(text)):
        for one in parse_rocminfo(text[:at]):
            known = whole[one.order]
            assert one.bdf in (None, known.bdf)
            assert one.memory_bytes in (None, known.memory_bytes)


def test_amds_agents_are_called_hygons() -> None:
    text = formats_runtime.rocminfo_text(bw_cards(1), formats.ROCM_ERA)
    amd = text.replace("hygon module", "ROCk module").replace("HYGON", "AMD").replace("HygonGenuine", "CPU")
    (agent,) = parse_rocminfo(amd)
    assert not agent.is_hygon
