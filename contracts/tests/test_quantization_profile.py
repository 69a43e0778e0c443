"""QuantizationProfile: reading, refusing, doubting."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.quantization import QuantizationProfile, load_profile_from_yaml, validate_profile

W8A8 = QuantizationProfile(weight_bits=8, activation_bits=8, kv_bits_prefill=16, kv_bits_decode=16)


def test_a_profile_reads_from_yaml(tmp_path: Path) -> None:
    file = tmp_path / "w8a8.yaml"
    file.write_text("weight_bits: 8\nactivation_bits: 8\nkv_bits_prefill: 16\nkv_bits_decode: 16\n")
    assert load_profile_from_yaml(file) == W8A8


@pytest.mark.parametrize("text", ["weight_bits: 7", "weight_bits: [", "- 1", "", "weight_bit: 8"])
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(InvalidRequest, match=r"bad\.yaml"):
        load_profile_from_yaml(file)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InvalidRequest, match="not YAML"):
        load_profile_from_yaml(file)


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_profile_from_yaml(tmp_path / "none.yaml")


def test_sparsity_pattern_and_ratio_must_agree() -> None:
    for ratio, pattern in ((0.5, "none"), (0.0, "block"), (0.3, "2:4")):
        with pytest.raises(ValidationError, match="sparsity"):
            QuantizationProfile.model_validate(
                {**W8A8.model_dump(), "sparsity_ratio": ratio, "sparsity_pattern": pattern}
            )


def test_a_sound_profile_has_no_doubts() -> None:
    assert validate_profile(W8A8, hardware="cpu") == []


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        ({"activation_bits": 4}, "no kernel"),
        ({"kv_bits_prefill": 8}, "cannot come back"),
        ({"kernel_backend": "acme"}, "acme"),
        ({"weight_bits": 4}, "calibration"),
    ],
)
def test_each_doubtful_combination_is_named(change: dict[str, object], doubt: str) -> None:
    problems = validate_profile(W8A8.model_copy(update=change), hardware="cpu")
    assert any(doubt in problem for problem in problems)
