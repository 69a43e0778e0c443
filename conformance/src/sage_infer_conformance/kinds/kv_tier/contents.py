"""The bytes of blocks: they follow from namespace, key and version, so that any can be told from any other."""

from __future__ import annotations

import hashlib

from sage_infer_contracts.content import ContentKey
from sage_infer_contracts.store import BlockOutcome

from .steps import Seen

Label = tuple[str, str, int]


def key_of(name: str) -> ContentKey:
    """Return the key that a block called ``name`` has in every namespace."""
    return ContentKey(hashlib.sha256(name.encode()).digest())


def content_of(namespace: str, key: str, version: int, nbytes: int) -> bytes:
    """Return the bytes of one version of a block."""
    seed = f"{namespace}\n{key}\n{version}".encode("utf-8", "surrogatepass")
    return hashlib.shake_128(seed).digest(nbytes)


class Library:
    """Every content that was ever put, to tell whose bytes a region holds. Shared by threads."""

    def __init__(self) -> None:
        self._labels: dict[bytes, Label] = {}
        self._keys: dict[ContentKey, str] = {}

    def content(self, namespace: str, key: str, version: int, nbytes: int) -> bytes:
        """Return the bytes of a block, and remember whose they are."""
        data = content_of(namespace, key, version, nbytes)
        self._labels[_digest(data)] = (namespace, key, version)
        return data

    def key(self, name: str) -> ContentKey:
        """Return the key of a block."""
        key = key_of(name)
        self._keys[key] = name
        return key

    def name(self, key: ContentKey) -> str:
        """Return the name that a key was made from."""
        return self._keys.get(key, f"unknown {bytes(key).hex()[:12]}")

    def seen(self, namespace: str, key: str, outcome: BlockOutcome, held: bytes | None) -> Seen:
        """Describe what became of a block; ``held`` is what its region holds after a get."""
        label = self._labels.get(_digest(held)) if held is not None and outcome.outcome == "hit" else None
        own = label is not None and label[:2] == (namespace, key)
        return Seen(
            outcome=str(outcome.outcome),
            reason=outcome.reason,
            version=label[2] if label is not None and own else None,
            other=label[:2] if label is not None and not own else None,
        )


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
