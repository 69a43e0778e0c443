"""The models that a run loads into a hybrid, and how much memory each is given."""

from __future__ import annotations

from pathlib import Path

import attrs

from sage_infer_contracts.backend import OptionValue
from sage_infer_contracts.descriptors import ModelDescriptor
from sage_infer_contracts.testing import Subject

from ..backend.config import NO_MODEL, locate
from .asks import ServedType
from .model import GREEDY_DTYPE, MAX_TOKENS
from .steps import About, Wanted

LLM_BYTES, EMBEDDING_BYTES = 24 * 1024**2, 16 * 1024**2
"""What models are given where there are no files to tell their size."""
_WORKING_SHARE, _WORKING_BYTES = 1.5, 128 * 1024**2
"""What a model is given for its files: room for KV and for what a batch needs while it runs."""


@attrs.frozen(slots=True)
class Catalogue:
    """One folder and one size for each type.

    The options ``model`` and ``embedding_model`` are folders or names of model sources, ``model_bytes`` and
    ``embedding_bytes`` their share of memory; the fact ``overhead_bytes`` is what each loaded model costs beside that,
    e.g. for a process of its own, and the fact ``exact`` false says that greedy output may differ with company.
    """

    llm: str
    embedding: str
    about: About
    options: dict[str, OptionValue]

    @classmethod
    def of(cls, subject: Subject) -> Catalogue:
        """Read a subject; raises what a model source raises."""
        options = dict(subject.options)
        llm = _folder(options.pop("model", None))
        embedding = _folder(options.pop("embedding_model", None))
        about = About(
            llm_bytes=_size(options.pop("model_bytes", None), llm, LLM_BYTES),
            embedding_bytes=_size(options.pop("embedding_bytes", None), embedding, EMBEDDING_BYTES),
            overhead_bytes=int(subject.facts.get("overhead_bytes") or 0),
            exact=bool(subject.facts.get("exact", True)),
        )
        return cls(str(llm or NO_MODEL), str(embedding or NO_MODEL), about, options)

    def bytes_of(self, kind: ServedType) -> int:
        """Return what a model of this type is given."""
        return self.about.llm_bytes if kind == "llm" else self.about.embedding_bytes

    def room_for(self, llms: int, embeddings: int) -> int:
        """Return a budget for so many models, and half of the smallest more."""
        smallest = min(self.about.llm_bytes, self.about.embedding_bytes)
        return llms * self.about.llm_bytes + embeddings * self.about.embedding_bytes + smallest // 2

    def descriptor(self, wanted: Wanted) -> ModelDescriptor:
        """Return the model to load."""
        return ModelDescriptor(
            model_id=wanted.name,
            model_type=wanted.type,
            model_path=self.llm if wanted.type == "llm" else self.embedding,
            device_ids=(0,),
            memory_gb=self.bytes_of(wanted.type) * wanted.percent / 100 / 1e9,
            max_batch_size=8,
            max_sequence_length=MAX_TOKENS,
            supported_precisions=(GREEDY_DTYPE,),
        )


def _folder(name: OptionValue) -> Path | None:
    return Path(locate(str(name)).path) if name else None


def _size(told: OptionValue, folder: Path | None, otherwise: int) -> int:
    if told is not None:
        return int(told)
    if folder is None:
        return otherwise
    files = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    return round(files * _WORKING_SHARE) + _WORKING_BYTES
