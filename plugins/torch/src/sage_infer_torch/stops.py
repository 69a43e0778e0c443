"""Stop strings in a text that arrives in pieces."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Finds the first stop string, holding back text that may turn out to be the start of one."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self.held = ""

    def feed(self, text: str, *, final: bool = False) -> tuple[str, str | None]:
        """Return text that can be emitted now, and the stop string that ended it, if one did.

        The text is cut before the stop string. With ``final`` nothing is held back any longer.
        """
        self.held += text
        found = [(self.held.find(stop), order, stop) for order, stop in enumerate(self._stops)]
        hits = [hit for hit in found if hit[0] >= 0]
        if hits:
            at, _, stop = min(hits)
            emitted, self.held = self.held[:at], ""
            return emitted, stop
        keep = 0 if final else self._possible_start()
        cut = len(self.held) - keep
        emitted, self.held = self.held[:cut], self.held[cut:]
        return emitted, None

    def _possible_start(self) -> int:
        """Length of the longest end of the held text that begins a stop string."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        for length in range(min(longest, len(self.held)), 0, -1):
            if any(stop.startswith(self.held[-length:]) for stop in self._stops):
                return length
        return 0
