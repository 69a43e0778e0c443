"""Packages that look installed: modules and metadata, written into a folder that stands on the import path."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path

import attrs

SAMPLE = "sage-sample"
_ENTRY = "[sage_infer.eviction.v1]\nsample = sage_sample.plugin:SamplePolicy\n"
POLICY = """\
from sage_infer_conformance.kinds.eviction.reference import ReferencePolicy


class SamplePolicy(ReferencePolicy):
    '''A correct policy.'''
"""


@attrs.frozen(slots=True)
class Package:
    """One distribution. ``headers`` are added to its metadata; one that is None is left out."""

    name: str = SAMPLE
    version: str = "1.0"
    headers: Mapping[str, str | None] = attrs.field(factory=dict)
    requires: tuple[str, ...] = ("sage-infer-contracts>=0.1",)
    entries: str = _ENTRY
    modules: Mapping[str, str] = attrs.field(factory=lambda: {"sage_sample/plugin.py": POLICY})
    written_over: Mapping[str, str] = attrs.field(factory=dict)
    """Files whose text is replaced once everything has been recorded."""

    def install(self, folder: Path) -> None:
        """Write modules, metadata and the record of both."""
        info = f"{self.name.replace('-', '_')}-{self.version}.dist-info"
        files = {
            **self.modules,
            f"{info}/METADATA": self._metadata(),
            f"{info}/entry_points.txt": self.entries,
        }
        for place in [place for place in files if "/" in place and place.endswith("plugin.py")]:
            files.setdefault(f"{place.rpartition('/')[0]}/__init__.py", "")
        record = "".join(f"{place},{_digest(text)},{len(text.encode())}\n" for place, text in files.items())
        for place, text in {
            **files,
            f"{info}/RECORD": f"{record}{info}/RECORD,,\n",
            **self.written_over,
        }.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8")

    def _metadata(self) -> str:
        usual = {
            "Metadata-Version": "2.4",
            "Name": self.name,
            "Version": self.version,
            "Summary": "a sample",
            "License-Expression": "Apache-2.0",
            "Requires-Python": ">=3.11",
        }
        headers = {name: value for name, value in {**usual, **self.headers}.items() if value is not None}
        needs = [f"Requires-Dist: {line}" for line in self.requires]
        return "\n".join([*(f"{name}: {value}" for name, value in headers.items()), *needs]) + "\n"


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def library(name: str, version: str = "1.0", text: str = "") -> Package:
    """Return a distribution that is no plugin: a stand-in for a framework or an SDK."""
    module = f"{name.replace('-', '_')}/__init__.py"
    return Package(name=name, version=version, requires=(), entries="", modules={module: text})
