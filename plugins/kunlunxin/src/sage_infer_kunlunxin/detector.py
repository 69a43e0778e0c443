"""KunlunxinDetector: P800 and the K and R series, from PCI, the driver's folders, two tools and the kernel's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sage_infer_contracts.detecting.conclude import conclude
from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detection import DetectionReport
from sage_infer_contracts.devices import DeviceIds
from sage_infer_contracts.probe import Probe

from .asking import DATED_LOG, INTELS, KERNEL_LOG, OTHER_TOPOLOGY, TOPOLOGY, Tools
from .chips import with_specification
from .driver import failed_to_start, with_release, with_state
from .gate import Gate, look, not_started
from .links import links_of, with_numa
from .parsing.kernel_log import CardLog, judged, parse_kernel_log
from .parsing.topology import Topology, parse_topology
from .slices import as_slice, with_parents
from .visible import given, numbered

HARDWARE = "kunlunxin"
_QUOTED = 3
"""Rows that could not be read, of which a reason quotes no more."""


class KunlunxinDetector:
    """A pure function of a probe; see :class:`~sage_infer_contracts.detection.HardwareDetector`."""

    hardware_backend = HARDWARE

    def detect(self, probe: Probe) -> DetectionReport:
        """Report Kunlunxin's devices. Without a card on a bus that is known no tool is run."""
        ladder = Ladder(probe)
        gate = look(ladder)
        if gate.closed:
            lost = [f"{', '.join(gate.signs)} is there, and no card is on the bus"] if gate.signs else []
            return conclude(HARDWARE, ladder, (), (), lost=lost, somewhere=bool(gate.signs))
        tools = Tools(ladder, gate.cards)
        found = tools.devices()
        logs = _logs(tools, alone=not found) if found or gate.cards is None else None
        topology = _topology(tools) if len(found) > 1 or (not found and gate.cards is None) else Topology()
        lost = _lost(tools, gate, found)
        if not found and gate.cards is None:
            found, reasons = _only_named(logs or {}, topology)
            lost = reasons if found else lost
        known = [_known(ladder, gate, device, topology) for device in with_release(ladder, found)]
        devices = [judged(device, logs) for device in _named(gate, known)]
        return conclude(
            HARDWARE,
            ladder,
            given(ladder, gate, found),
            numbered(ladder, devices),
            links=links_of(devices, topology),
            lost=(*lost, *failed_to_start(ladder), *topology.contradictions),
            somewhere=bool(gate.signs),
        )


def _logs(tools: Tools, *, alone: bool) -> Mapping[str, CardLog] | None:
    """Read the kernel's log; ``alone``: it may be all that is known."""
    text = tools.ask(KERNEL_LOG)
    if text is None and alone:
        text = tools.ask(DATED_LOG)  # as people capture it
    if text is None:
        return None
    logs = parse_kernel_log(text)
    tools.ladder.note(KERNEL_LOG.source, "used", f"errors of {len(logs)} cards")
    return logs


def _topology(tools: Tools) -> Topology:
    text = tools.ask(TOPOLOGY)
    if text is None and not tools.old and tools.ladder.steps[-1].outcome in ("absent", "unknown"):
        text = tools.ask(OTHER_TOPOLOGY)
    topology = parse_topology(text) if text is not None else Topology()
    if text is not None and topology.indices:
        tools.ladder.note(TOPOLOGY.source, "used", f"{len(topology.links)} links")
    elif text is not None:
        tools.fail(TOPOLOGY, "shows no matrix that can be read", excuse=True)
    return topology


def _only_named(logs: Mapping[str, CardLog], topology: Topology) -> tuple[list[Device], list[str]]:
    """Return devices that the matrix has, or else that the driver complains of, where nothing else is known."""
    if topology.indices:
        return [Device(ids=DeviceIds(index=index)) for index in topology.indices], []
    found = [Device(ids=DeviceIds(bdf=bdf)) for bdf in sorted(logs)]
    return found, ["only the kernel's log names devices, and only those with errors"] if found else []


def _lost(tools: Tools, gate: Gate, found: Sequence[Device]) -> list[str]:
    """Say what is lost: where nothing is shown, why; or that devices are fewer than the cards or than the tool says."""
    if not found:
        intels = f"xpu-smi is {INTELS}" if tools.intels else None
        reasons = (*tools.torn[:_QUOTED], not_started(tools.ladder, gate), intels)
        return [reason for reason in reasons if reason is not None]
    cards = gate.usable or ()
    if gate.cards is None and len(found) < tools.attached:
        return [f"there are {tools.attached} devices, and {len(found)} could be read", *tools.torn[:_QUOTED]]
    if any(one.ids.bdf is not None for one in found) or len(found) >= len(cards):
        return []
    return [f"the tool shows {len(found)} of {len(cards)} cards, and not which"]


def _known(ladder: Ladder, gate: Gate, device: Device, topology: Topology) -> Device:
    """Return the device with the state that the driver keeps, its NUMA node, and its card if it is a slice."""
    card = gate.card_at(device.ids.bdf)
    return as_slice(ladder, with_numa(ladder, with_state(ladder, device), card, topology), card)


def _named(gate: Gate, devices: Sequence[Device]) -> list[Device]:
    return [with_specification(one, gate.card_at(one.ids.bdf)) for one in with_parents(devices)]
