"""What HIP calls each device, by its variables of visible devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sage_infer_contracts.detecting.devices import Device
from sage_infer_contracts.detecting.ladder import Ladder
from sage_infer_contracts.detecting.visible import number_as_runtime
from sage_infer_contracts.probe import Unknown

HIP, CUDA, ROCR = "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"
VISIBLE_VARIABLES = (HIP, CUDA, ROCR)


def numbered(ladder: Ladder, devices: Sequence[Device], orders: Mapping[str, int]) -> list[Device]:
    """Return ``devices`` as HIP numbers those that this process may use.

    HIP counts in the order of the HSA runtime. ``orders`` has the number of each device's agent by unique id and by
    address; where it is not complete, the rows of ``hy-smi`` stand in for it. The HSA runtime first leaves out what
    ``ROCR_VISIBLE_DEVICES`` does not name; HIP then counts what is left and heeds ``HIP_VISIBLE_DEVICES``, or
    ``CUDA_VISIBLE_DEVICES`` where that is empty. Nothing is numbered where nobody knows these variables.
    """
    if any(isinstance(ladder.probe.environ(name), Unknown) for name in VISIBLE_VARIABLES):
        return list(devices)
    agents = [orders.get(one.ids.uuid or "", orders.get(one.ids.bdf or "")) for one in devices]
    complete = None not in agents and len(set(agents)) == len(agents)
    places = {id(one): agent for one, agent in zip(devices, agents, strict=True)}

    def in_order(device: Device) -> tuple[int, int, str]:
        index = device.ids.index
        return (
            (places[id(device)] or 0) if complete else 0,
            2**31 if index is None else index,
            device.ids.bdf or device.ids.uuid or "",
        )

    first = number_as_runtime(devices, ladder.variable(ROCR), in_order_of=in_order, uuids=True)
    left = [one for one in first if one.ids.logical is not None]
    value = ladder.variable(HIP) or ladder.variable(CUDA)
    second = number_as_runtime(left, value, in_order_of=lambda one: one.ids.logical or 0, none_at_empty=False)
    visible = {id(before): after for before, after in zip(left, second, strict=True)}
    return [visible.get(id(one), one) for one in first]
