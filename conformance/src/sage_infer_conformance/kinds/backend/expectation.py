"""What an output must be, told from a longer one of the same prompt that nothing stopped."""

from __future__ import annotations

from collections.abc import Collection

import attrs

from sage_infer_contracts.sampling import SamplingParams
from sage_infer_contracts.streams import FinishReason

from .findings import Outcome


@attrs.frozen(slots=True)
class Expected:
    """An end: after how many tokens at least and at most, why, and where the text is cut (None: not by a stop)."""

    least: int
    most: int
    finish: FinishReason
    stop: str | int | None = None
    text: str | None = None

    def differs(self, outcome: Outcome) -> str | None:
        """Say how ``outcome`` differs, or None."""
        count = len(outcome.tokens)
        if outcome.finish != self.finish:
            return (
                f"ended by {outcome.finish} after {count} tokens and not by {self.finish} after {self.most}"
            )
        if outcome.stop != self.stop:
            return f"stop_reason is {outcome.stop!r} and not {self.stop!r}"
        if not self.least <= count <= self.most:
            return f"{count} tokens came and not {self.most}, ended by {self.finish}"
        if self.text is not None and outcome.text != self.text:
            return f"the text is {outcome.text!r} and not {self.text!r}, cut before {self.stop!r}"
        return None


def expected_end(free: Outcome, params: SamplingParams, ends: Collection[int]) -> Expected | None:
    """Return how an output under ``params`` must end; None when ``free`` does not reach that far.

    ``free`` ran with ``ignore_eos`` and without stops; ``ends`` are the tokens known to end an output.
    """
    found = [
        one
        for one in (*_by_text(free, params), _by_token(free, params, ends), _by_length(free, params))
        if one
    ]
    # Where two ends fall on one token the contract does not say which is named.
    first = min(found, key=lambda one: one.most, default=None)
    if first is None or any(one is not first and one.least <= first.most for one in found):
        return None
    return first


def _by_length(free: Outcome, params: SamplingParams) -> Expected | None:
    limit = params.max_tokens
    return Expected(limit, limit, "length") if limit is not None and limit <= len(free.tokens) else None


def _by_token(free: Outcome, params: SamplingParams, ends: Collection[int]) -> Expected | None:
    for count, token in enumerate(free.tokens, start=1):
        if count <= params.min_tokens:
            continue
        if token in ends and not params.ignore_eos:
            return Expected(count, count, "eos")
        if token in params.stop_token_ids:
            return Expected(count, count, "stop_token", token)
    return None


def _by_text(free: Outcome, params: SamplingParams) -> list[Expected]:
    """Return the end by each stop string. The text of a token may come a delta later, inside a character."""
    whole, ends = free.text, []
    for stop in params.stop:
        at = whole.find(stop)
        if at < 0:
            continue
        count, text = 0, ""
        for delta in free.deltas:
            before, count, text = count, count + len(delta.tokens), text + delta.text
            if len(text) >= at + len(stop):
                ends.append(Expected(before + 1, count, "stop_string", stop, whole[:at]))
                break
    return ends
