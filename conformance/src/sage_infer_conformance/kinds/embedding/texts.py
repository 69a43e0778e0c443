"""Texts to embed: plain sentences of any length, and what breaks tokenizers."""

from __future__ import annotations

from ..suite import Choices

WORDS = [
    "the", "of", "and", "water", "house", "people", "light", "river", "stone", "letter", "music", "winter", "garden",
    "window", "morning", "market", "paper", "bread", "horse", "mountain", "forest", "summer", "bridge", "silver",
    "doctor", "kitchen", "village", "question", "history", "science",
]  # fmt: skip
LONG_WORDS = ["government", "university", "information", "international", "understanding", "development"]
LETTERS = list("abcdefghijklmnopqrstuvwxyz")

ODD = (
    "",
    " ",
    "\n\t",
    "?",
    "naïve café, façade",
    "cafe\u0301 and café",
    "缓存命中率与首字延迟",
    "שלום عالم",
    "🙂",
    "👩‍👩‍👧‍👦 and 🇨🇭",
    "UPPER lower MiXeD",
    "{'a': [1, 2]} <b>&amp;</b> \\n %s",
    "0 1 2 3.14159 -7e-9",
    "\ufeffzero\u200bwidth\u00a0space",
)
MOST_WORDS = 120


def sentence(choices: Choices, words: int) -> str:
    """Return a sentence of so many words; two that are drawn differ, as a rule, from the first word on."""
    at, stride = choices.integer(0, len(WORDS) - 1), choices.one_of((1, 7, 11))
    return " ".join(WORDS[(at + stride * number) % len(WORDS)] for number in range(words))


def pool(choices: Choices, longest: int) -> list[str]:
    """Return different texts of up to about three quarters of ``longest`` tokens; some begin alike."""
    most = max(1, min(MOST_WORDS, longest * 3 // 4 - 2))
    plain = [sentence(choices, max(1, words)) for words in (1, 2, 3, most // 2, most)]
    words = plain[-1].split()
    begun = [" ".join(words[:count]) for count in (5, most // 3, most - 1) if 0 < count < most]
    return list(dict.fromkeys([*ODD, *plain, *begun, " ".join([*words[:-1], "otherwise"])]))
