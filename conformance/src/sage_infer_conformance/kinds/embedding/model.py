"""What must be true of any embedding backend: which texts fit, and which vector belongs to which text."""

from __future__ import annotations

from typing import Literal

import attrs

from sage_infer_contracts.capabilities import Capability

from .steps import About, Count, Create, Embed, EmbeddingStep, Start
from .vectors import Vector, tolerance, unpack

Size = Literal["within", "exact", "over"]
State = Literal["none", "created", "ready", "failed", "closed"]
SEPARATORS = (" ", "")
"""What units of text are joined by: words by a space, and characters by nothing."""


@attrs.define(slots=True)
class EmbeddingModel:
    """The texts of one history, and the vector that each has when it is embedded alone."""

    state: State = "none"
    starts: int = 0
    about: About | None = None
    truncates: bool = False
    counts: dict[str, int] = attrs.field(factory=dict)
    alone: dict[str, Vector] = attrs.field(factory=dict)
    full: dict[str, str] = attrs.field(factory=dict)
    """Texts that have exactly as many tokens as a text may have, and what may be put in between to go on."""

    def apply(self, step: EmbeddingStep) -> None:
        """Take a step into account."""
        command = step.command
        if command.op in ("close", "close_during"):
            self.state = "closed"
        elif isinstance(command, Create):
            self.state = "created"
        elif isinstance(command, Start):
            self._start(step)
        elif isinstance(command, Count) and step.counts is not None:
            self._count(dict(zip(command.texts, step.counts, strict=False)))
        elif isinstance(command, Embed) and step.outcomes and len(command.call.texts) == 1:
            self._learn(command.call.texts[0], step.outcomes[0].vectors or ())

    @property
    def tolerance(self) -> float:
        """How far apart two vectors of one text may be."""
        return tolerance(self.about.precisions if self.about is not None else ())

    @property
    def longest(self) -> int:
        """The most tokens a text may have; 0 before the first start."""
        return self.about.max_tokens if self.about is not None else 0

    def size(self, text: str) -> Size | None:
        """Say how ``text`` compares to the maximum, as far as that is certain."""
        # A token never reaches across a space between words, so there are at least as many tokens as words.
        if len(text.split()) > self.longest:
            return "over"
        count = self.counts.get(text)
        if count is not None and count < self.longest:
            return "within"
        if text in self.full:
            return "exact"
        if self.cut(text) is not None or (count is not None and count > self.longest):
            return "over"
        return "exact" if count == self.longest and not self.truncates else None

    def cut(self, text: str) -> str | None:
        """Return what must be left of an over-long text; None where that is not known."""
        for full, between in self.full.items():
            if text.startswith(full + between) and len(text) > len(full + between):
                return full
        return None

    def is_unit(self, text: str, between: str) -> bool:
        """Say whether ``text`` was seen to be one token, also after another one and ``between``."""
        empty = self.counts.get("")
        twice = self.counts.get(f"{text}{between}{text}")
        return empty is not None and self.counts.get(text) == empty + 1 and twice == empty + 2

    def siblings(self, text: str) -> list[str]:
        """Return the other full texts that differ from this full one in their last token only."""
        between = self.full[text]
        stem = self._stem(text, between)
        return [
            other
            for other, joined in self.full.items()
            if other != text and joined == between and self._stem(other, between) == stem
        ]

    def same_beginning(self, text: str) -> list[str]:
        """Return the over-long texts that do not differ from this one before they are cut."""
        words = text.split()[: self.longest]
        if len(words) < self.longest:
            return []
        return [
            other
            for other in self.alone
            if other != text and self.size(other) == "over" and other.split()[: self.longest] == words
        ]

    def _start(self, step: EmbeddingStep) -> None:
        self.state = "ready" if step.error is None else "failed"
        if step.about is not None:
            self.starts += 1
            self.about = step.about
            self.truncates = Capability.EMBEDDING_TRUNCATES in (step.capabilities or ())

    def _count(self, counts: dict[str, int]) -> None:
        self.counts.update(counts)
        for text in counts:
            for between in SEPARATORS:
                if text not in self.full and self._is_full(text, between):
                    self.full[text] = between

    def _is_full(self, text: str, between: str) -> bool:
        if len(text) < 2 or between not in text:
            return False
        stem = self._stem(text, between)
        last = text[len(stem) + len(between) :]
        return self.counts.get(stem) == self.longest - 1 and self.is_unit(last, between)

    @staticmethod
    def _stem(text: str, between: str) -> str:
        return text.rpartition(between)[0] if between else text[:-1]

    def _learn(self, text: str, vectors: tuple[str, ...]) -> None:
        if len(vectors) == 1:
            self.alone.setdefault(text, unpack(vectors[0]))
