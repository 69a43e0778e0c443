"""Find the code blocks and links of the repository's Markdown pages.

A runnable block (``bash`` or ``python``) says in an HTML comment before it where it is tested:
``<!-- lane: docs -->``, ``<!-- lane: engine -->`` or ``<!-- lane: reader, WHY -->`` for what a test cannot run.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SKIPPED = {".nox", ".venv", ".git", "dist", "report", "build", ".pytest_cache", "node_modules", "_template"}
_BLOCK = re.compile(
    r"^(?:<!-- lane: (?P<lane>[^>]*?) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)
_LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """One fenced block of a page."""

    page: Path
    line: int
    lane: str
    language: str
    code: str

    @property
    def id(self) -> str:
        """Name for a test report."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every Markdown page of the repository."""
    return sorted(page for page in ROOT.rglob("*.md") if not SKIPPED & set(page.relative_to(ROOT).parts))


def blocks(lane: str | None = None) -> list[Block]:
    """The runnable blocks, or those of one lane. The Chinese README repeats the English one's and is left out."""
    found = []
    for page in pages():
        if page.name.endswith(".zh-CN.md"):
            continue
        text = page.read_text(encoding="utf-8")
        for match in _BLOCK.finditer(text):
            if match["language"] in ("bash", "python"):
                line = text.count("\n", 0, match.start("code"))
                found.append(Block(page, line, match["lane"] or "", match["language"], match["code"]))
    return [block for block in found if lane is None or block.lane.split(",")[0] == lane]


def local_links(page: Path) -> list[str]:
    """Relative link targets of ``page``, without fragments."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    targets = (link.split("#")[0] for link in _LINK.findall(text))
    return [
        target for target in targets if target and "://" not in target and not target.startswith("mailto:")
    ]
