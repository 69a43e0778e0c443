"""What transfers show of a link."""

from __future__ import annotations

from collections import OrderedDict

import attrs

from sage_infer_contracts.devices import Figure, LinkProfile

_PEERS = 256


@attrs.define(slots=True)
class _Seen:
    nbytes: int = 0
    seconds: float = 0.0
    latency_s: float | None = None


class LinkMeter:
    """Sums over all transfers to each of the last 256 peers. Guarded by its owner's lock."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._peers: OrderedDict[str, _Seen] = OrderedDict()

    def add(self, peer: str, nbytes: int, seconds: float, latency_s: float | None) -> None:
        """Take a finished transfer into account. ``latency_s``: a request and its answer, the shortest counts."""
        seen = self._peers.setdefault(peer, _Seen())
        self._peers.move_to_end(peer)
        seen.nbytes += nbytes
        seen.seconds += seconds
        known = [one for one in (seen.latency_s, latency_s) if one is not None]
        seen.latency_s = min(known, default=None)
        if len(self._peers) > _PEERS:
            self._peers.popitem(last=False)

    def profile(self, peer: str) -> LinkProfile:
        """Return bytes per second from submission to the receiver's word, and the round trip of the handshake."""
        seen = self._peers.get(peer, _Seen())
        bandwidth = latency = None
        if seen.seconds > 0:
            bandwidth = Figure(value=seen.nbytes / seen.seconds / 1e9, unit="GB/s", source="measured")
        if seen.latency_s is not None:
            latency = Figure(value=seen.latency_s * 1e6, unit="us", source="measured")
        return LinkProfile(
            source="host", destination=peer, kind=self._kind, bandwidth=bandwidth, latency=latency
        )
