"""How a vendor offers a backend without importing an engine: a recipe that core resolves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import attrs
from pydantic import Field, model_validator

from .constraints import KVConstraints, TransportChoice
from .names import HardwareName
from .runtime import DeviceRuntime
from .wire import FrozenModel, WireModel


class VersionWindow(FrozenModel):
    """Versions of a distribution that were tested (PK-06): ``minimum`` <= version < ``below``."""

    distribution: str
    minimum: str
    below: str | None = None


class Refusal(FrozenModel):
    """A setting that this platform cannot honour, refused before start with the reason and what to do instead."""

    setting: str = Field(
        description="a BackendConfig field (kv_schema's as kv_schema.FIELD), an engine option, capability, or engine"
    )
    value: str | None = Field(default=None, description="the value refused; null: every value not in allowed")
    allowed: tuple[str, ...] = ()
    chips: tuple[str, ...] = Field(
        default=(), description="names in the vendor's list of chips that this holds for; none: all"
    )
    when: Mapping[str, str] = Field(
        default_factory=dict, description="holds only with these other settings, e.g. model.attention: mla"
    )
    reason: str
    alternative: str = Field(
        default="",
        description="what to do instead; a setting is written as name=value, so that it can be checked",
    )
    source: str = Field(
        default="", description="where that stands: a page, a file at a commit, a tool's message"
    )

    def holds_for(self, settings: Mapping[str, str], chip: str | None) -> bool:
        """Say whether ``settings`` ask for what ``chip`` is refused; a setting that is not given asks for nothing."""
        given = settings.get(self.setting)
        if given is None or (self.chips and chip not in self.chips):
            return False
        if any(settings.get(name) != value for name, value in self.when.items()):
            return False
        return given == self.value if self.value is not None else given not in self.allowed


def refusals_of(constraints: KVConstraints, alternative: str = "") -> tuple[Refusal, ...]:
    """Return what a launch plan refuses because of block sizes and dtypes, so that each is written down once.

    Without ``alternative`` the first size or dtype that is allowed is the one proposed.
    """
    when = dict(constraints.when)
    if constraints.engine is not None:
        when["engine"] = constraints.engine
    return tuple(
        Refusal(
            setting=setting,
            allowed=tuple(map(str, allowed)),
            chips=constraints.chips,
            when=when,
            reason=f"{what} {', '.join(map(str, allowed))} ({constraints.source})",
            alternative=alternative or f"{setting}={allowed[0]}",
            source=constraints.source,
        )
        for setting, what, allowed in (
            ("kv_schema.page_size", "a block here has this many tokens:", constraints.block_sizes),
            ("kv_schema.dtype", "KV is stored here as", constraints.dtypes),
        )
        if allowed
    )


class EngineLaunchPlan(WireModel):
    """How an engine process is started on one platform: data only, so that it can be shown and recorded."""

    hardware: HardwareName
    engine: str | None = Field(
        default=None,
        description="the engine all but the refusals is for; null: whichever of the recipe's engines runs",
    )
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
    and its name is reported. It is data, whose parts fit together (BR-01); a refusal can hold, and says why, by what
    source and what to do instead (BR-02); what is done instead, and what the plan itself sets, is not refused, and
    what ``kv_constraints`` forbid is (BR-03). The list of chips that refusals name is ``chips.json``, at the top of the
    package that the entry point lies in.
    """

    name: str
    hardware: HardwareName
    engines: tuple[str, ...] = Field(min_length=1, description="backend plugin names, preferred first")
    device_runtime: str | None = Field(default=None, description="name under sage_infer.device.v1")
    launch_plan: EngineLaunchPlan | None = None
    kv_constraints: tuple[KVConstraints, ...] = ()
    transport: TransportChoice | None = None

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
