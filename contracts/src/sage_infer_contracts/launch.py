"""How a vendor offers a backend without importing an engine: a recipe that core resolves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import attrs
from pydantic import Field, model_validator

from .names import HardwareName
from .runtime import DeviceRuntime
from .wire import FrozenModel, WireModel


class VersionWindow(FrozenModel):
    """Versions of a distribution that were tested (PK-06): ``minimum`` <= version < ``below``."""

    distribution: str
    minimum: str
    below: str | None = None


class Refusal(FrozenModel):
    """A setting that this platform cannot honour, refused before start with the reason."""

    setting: str = Field(description="a BackendConfig field, e.g. dtype")
    value: str
    reason: str


class EngineLaunchPlan(WireModel):
    """How an engine process is started on one platform: data only, so that it can be shown and recorded."""

    hardware: HardwareName
    environment: Mapping[str, str] = Field(
        default_factory=dict, description="set in the engine's process only"
    )
    arguments: Mapping[str, str | int | float | bool] = Field(
        default_factory=dict, description="engine arguments"
    )
    device_type: str | None = Field(
        default=None, description="what the engine's platform must say it runs on; null: the hardware name"
    )
    platform_plugin: str | None = Field(
        default=None, description="entry point that must be installed and load"
    )
    plugin_allowlist: tuple[str, ...] = Field(default=(), description="engine plugins allowed to load")
    required_modules: tuple[str, ...] = Field(
        default=(), description="top-level modules that must be importable"
    )
    versions: tuple[VersionWindow, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    install_hint: str = Field(default="", description="what to install when a check fails")


class BackendRecipe(WireModel):
    """A backend made of an installed engine and either a device runtime or a launch plan.

    An entry point under ``sage_infer.backend.v1`` or ``sage_infer.embedding.v1`` may resolve to a recipe in
    place of a factory; core finds the engine by name. ``engines`` are tried in order: the first one installed runs,
    and its name is reported.
    """

    name: str
    hardware: HardwareName
    engines: tuple[str, ...] = Field(min_length=1, description="backend plugin names, preferred first")
    device_runtime: str | None = Field(default=None, description="name under sage_infer.device.v1")
    launch_plan: EngineLaunchPlan | None = None

    @model_validator(mode="after")
    def _has_a_device(self) -> Self:
        if self.device_runtime is None and self.launch_plan is None:
            raise ValueError("a recipe needs device_runtime, launch_plan or both")
        return self


@attrs.frozen(slots=True)
class BackendContext:
    """What core resolved for a backend factory: the second argument of ``factory(config, context)``."""

    device_runtime: DeviceRuntime | None = None
    launch_plan: EngineLaunchPlan | None = None
