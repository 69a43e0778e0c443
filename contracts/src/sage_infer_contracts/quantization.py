"""Quantisation profiles: what is asked of weights, activations and KV."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, ValidationError, model_validator

from .errors import InvalidRequest
from .names import HardwareName
from .wire import WireModel

WeightBits = Literal[32, 16, 8, 4]
Bits = Literal[32, 16, 8, 4]


class QuantizationProfile(WireModel):
    """A quantisation request. A backend applies it for real or raises ``Unsupported`` (IB-09)."""

    weight_bits: WeightBits
    activation_bits: Bits
    kv_bits_prefill: Bits
    kv_bits_decode: Bits

    sparsity_ratio: float = Field(default=0.0, ge=0.0, lt=1.0)
    sparsity_pattern: Literal["none", "2:4", "block", "unstructured"] = "none"

    kernel_backend: HardwareName = "cpu"

    calibration_dataset: str = ""
    calibration_samples: PositiveInt = 512

    max_sequence_length: PositiveInt = 8192

    @model_validator(mode="after")
    def _sparsity_agrees(self) -> Self:
        if (self.sparsity_pattern == "none") != (self.sparsity_ratio == 0.0):
            raise ValueError("sparsity_ratio is above 0 exactly when sparsity_pattern is not 'none'")
        if self.sparsity_pattern == "2:4" and self.sparsity_ratio != 0.5:
            raise ValueError("sparsity_pattern '2:4' means sparsity_ratio 0.5")
        return self


def validate_profile(profile: QuantizationProfile, *, hardware: str | None = None) -> list[str]:
    """Return what makes ``profile`` doubtful on ``hardware``, one sentence each; empty when nothing does.

    Malformed profiles cannot be constructed; this reports combinations that are legal and still make no sense.
    """
    problems = []
    if profile.activation_bits < profile.weight_bits:
        problems.append(
            f"activation_bits {profile.activation_bits} below weight_bits {profile.weight_bits}: no kernel does this"
        )
    if profile.kv_bits_decode > profile.kv_bits_prefill:
        problems.append(
            "kv_bits_decode above kv_bits_prefill: precision lost in prefill cannot come back in decode"
        )
    if hardware is not None and profile.kernel_backend != hardware:
        problems.append(f"kernel_backend is {profile.kernel_backend!r} but the instance runs on {hardware!r}")
    if profile.weight_bits == 4 and not profile.calibration_dataset:
        problems.append(
            "4-bit weights without a calibration_dataset: accuracy will be that of round-to-nearest"
        )
    return problems


def load_profile_from_yaml(path: str | PathLike[str]) -> QuantizationProfile:
    """Read one profile from a YAML mapping. Needs ``sage-infer-contracts[yaml]``.

    Raises ``InvalidRequest`` naming the file and each wrong field, FileNotFoundError when there is no file.
    """
    try:
        import yaml
    except ImportError as error:
        raise ImportError(
            "reading YAML profiles needs PyYAML: pip install 'sage-infer-contracts[yaml]'"
        ) from error
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return QuantizationProfile.model_validate(data)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'profile'}: {e['msg']}" for e in error.errors())
        raise InvalidRequest(f"{path} is not a quantisation profile: {wrong}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} is not YAML: {error}") from error
