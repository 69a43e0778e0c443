"""Entry points."""

from __future__ import annotations

from .builders import ConvertGguf, CopyFolder
from .pins import MINILM, SMOLLM2
from .source import PackagedModelSource


def demo() -> PackagedModelSource:
    """SmolLM2-135M-Instruct, fp32."""
    return PackagedModelSource(SMOLLM2, ConvertGguf(), model_type="llm", needed_bytes=800_000_000)


def demo_embed() -> PackagedModelSource:
    """all-MiniLM-L6-v2."""
    return PackagedModelSource(MINILM, CopyFolder(), model_type="embedding", needed_bytes=300_000_000)
