"""Asks ``npu-smi``: every question is a step, and every failure a reason with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import attrs

from sage_infer_contracts.detecting.ladder import TOOL_TIMEOUT_S, Ladder, failure_of
from sage_infer_contracts.probe import CommandResult, Unknown

from .errors import advice_for, rank_of

PROGRAMS = ("npu-smi", "/usr/local/sbin/npu-smi", "/usr/local/bin/npu-smi")
"""Where the driver's package puts the tool; a service's PATH may lack these folders."""
NO_CARD = "There is no NPU card on this server"
NOT_SUPPORTED = "does not support querying"
Found = TypeVar("Found")


@attrs.define(slots=True)
class Tool:
    """``npu-smi`` on one machine. ``hung``: it did not answer once, and is asked no more.

    ``denies``: it said that there is no NPU. ``known``: something is known of it, be it that it is ``missing``.
    """

    ladder: Ladder
    program: str = PROGRAMS[0]
    hung: bool = False
    denies: bool = False
    known: bool = False
    missing: bool = False
    _table: CommandResult | None = None

    def find(self) -> None:
        """Settle which program to run, by asking each for the table until one is there."""
        for program in PROGRAMS:
            result = self.ladder.probe.run((program, "info"), timeout_s=TOOL_TIMEOUT_S)
            if isinstance(result, Unknown):
                return
            self.known = True
            if not result.missing:
                self.program = program
                self._table = result
                return
        self.missing = True

    def read(self, parse: Callable[[str], Found | None], *arguments: str, vital: bool = True) -> Found | None:
        """Return what ``parse`` makes of the answer to ``npu-smi info ARGUMENTS``; None where there is nothing.

        A failure is a reason for the report's state if the answer is ``vital``; else it is a step and no more.
        """
        source = " ".join((self.program, "info", *arguments))
        text = self._ask(source, arguments, vital)
        if text is None:
            return None
        found = parse(text)
        if found is not None:
            self.ladder.note(source, "used")
        elif NO_CARD in text:
            self.denies = True
            self.ladder.note(source, "absent", NO_CARD)
        elif NOT_SUPPORTED in text:
            self.ladder.note(source, "absent", _line_with(text, NOT_SUPPORTED))
        else:
            self._fail(source, _complaint(text) or "shows no device that can be read", vital)
        return found

    def peek(self, *arguments: str) -> str | None:
        """Return the answer where one was recorded, and say nothing of it where none was."""
        result = self.ladder.probe.run((self.program, "info", *arguments), timeout_s=TOOL_TIMEOUT_S)
        if isinstance(result, Unknown) or failure_of(result) is not None:
            return None
        return result.stdout

    def _ask(self, source: str, arguments: Sequence[str], vital: bool) -> str | None:
        if self.hung:
            self.ladder.note(source, "skipped", "the tool did not answer before")
            return None
        result = self._run(*arguments)
        if isinstance(result, Unknown) or result.missing:
            self.known |= not isinstance(result, Unknown)
            self.ladder.note(source, "unknown" if isinstance(result, Unknown) else "absent")
            return None
        self.known = True
        failure = failure_of(result)
        if failure is None:
            return result.stdout
        if NOT_SUPPORTED in result.stdout + result.stderr:  # some releases end with a status then
            self.ladder.note(source, "absent", _line_with(result.stdout + result.stderr, NOT_SUPPORTED))
            return None
        self.hung = result.timed_out
        said = _complaint(f"{result.stdout}\n{result.stderr}")
        self._fail(
            source, failure if said is None or said in failure else f"{failure.split(':')[0]}: {said}", vital
        )
        return None

    def _run(self, *arguments: str) -> CommandResult | Unknown:
        if not arguments and self._table is not None:
            return self._table
        return self.ladder.probe.run((self.program, "info", *arguments), timeout_s=TOOL_TIMEOUT_S)

    def _fail(self, source: str, why: str, vital: bool) -> None:
        """Keep the failure, with what to do about it unless an earlier one said so."""
        if not vital:
            self.ladder.note(source, "failed", why)
            return
        advice = advice_for(why)
        told = advice is None or any(advice in failure for failure in self.ladder.failures)
        self.ladder.fail(source, why if told else f"{why} ({advice})")


def _line_with(text: str, words: str) -> str:
    return next((line.strip()[:300] for line in text.splitlines() if words in line), "")


def _complaint(text: str) -> str | None:
    """Return the line of the output that tells most of the driver's messages, those listed first telling most."""
    said = [line.strip()[:300] for line in text[-20_000:].splitlines()]
    known = [(rank, line) for line in said if (rank := rank_of(line)) is not None]
    return min(known)[1] if known else None
