"""Prompts of many kinds for the equality tests."""

from __future__ import annotations

_STORY = (
    "The old lighthouse keeper climbed the stairs every evening, carrying a lamp, a logbook and a flask of tea. "
    "From the gallery he watched the fishing boats come home, counted them, and wrote their names in the book. "
)
_CODE = (
    "def quicksort(items):\n    if len(items) < 2:\n        return items\n    pivot, *rest = items\n"
    "    low = [x for x in rest if x < pivot]\n    high = [x for x in rest if x >= pivot]\n"
    "    return quicksort(low) + [pivot] + quicksort(high)\n\n"
)

PROMPTS: tuple[str, ...] = (
    "The capital of France is",
    "Once upon a time, in a village by the sea,",
    "def fibonacci(n):\n    ",
    "Q: What is the boiling point of water at sea level?\nA:",
    "import numpy as np\n\nx = np.arange(",
    "SELECT name, COUNT(*) FROM users WHERE",
    "The three laws of thermodynamics are:\n1.",
    "人工智能的未来",
    "日本の首都は",
    "Столица России —",
    "عاصمة مصر هي",
    "La capital de España es",
    "Die Hauptstadt von Deutschland ist",
    "🙂 Emoji story: 🐶🐱",
    "The quick brown 🦊 jumps over the lazy 🐶 and",
    "1, 1, 2, 3, 5, 8, 13,",
    "A",
    "\n\n\n",
    '{"name": "Alice", "age": 30, "city":',
    "<html>\n<head>\n<title>",
    "Dear Sir or Madam,\n\nI am writing to",
    "To be, or not to be, that is",
    "E = mc^2 means that",
    "#include <stdio.h>\n\nint main(void) {",
    "Recipe for pancakes:\nIngredients:\n-",
    "<|im_start|>user\nWhat is gravity?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nWrite a haiku about rain.<|im_end|>\n<|im_start|>assistant\n",
    "Ünïcödé ťéxt wîth äccents",
    "한국의 수도는",
    "Το ελληνικό αλφάβητο αρχίζει με",
    _STORY * 6 + "One night",
    _CODE * 4 + "def mergesort(items):\n",
    _STORY * 6 + "In the morning",
)
"""Thirty-three prompts; the last and the third from the end share a beginning of several hundred tokens."""
