"""Which engine, device and launch plan a backend name stands for, as data that can cross a process boundary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.errors import PluginNotFound
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan
from sage_infer_contracts.plugins import PluginRef
from sage_infer_contracts.wire import WireModel

from .launch_checks import check_launch_plan

if TYPE_CHECKING:
    from sage_infer.plugins import Registry

BackendKind = Literal[PluginKind.BACKEND, PluginKind.EMBEDDING]


class BackendPlan(WireModel):
    """Everything a process needs to create one backend; plugins are named exactly, never sent."""

    kind: PluginKind
    requested: str
    engine: PluginRef
    device: PluginRef | None = None
    launch_plan: EngineLaunchPlan | None = None
    config: BackendConfig

    def describe(self) -> str:
        """Return one line that says which engine and device were taken, and for which model."""
        engine = f"{self.engine.name} ({self.engine.distribution} {self.engine.version})"
        via = f" for {self.requested}" if self.requested.rpartition(":")[2] != self.engine.name else ""
        device = f" on {self.device.name} ({self.device.distribution})" if self.device else ""
        return f"{self.config.model.model_id}: {engine}{via}{device}"


def plan_backend(
    name: str, config: BackendConfig, *, registry: Registry, kind: BackendKind = PluginKind.BACKEND
) -> BackendPlan:
    """Resolve ``name`` (a factory's or a recipe's) to a plan; nothing is created and no device is touched.

    Raises the registry's errors for a name that cannot be loaded, and those of a launch plan's checks.
    """
    loaded = registry.load(kind, name)
    if isinstance(loaded.target, BackendRecipe):
        return _plan_recipe(name, loaded.target, config, registry, kind)
    device = _device_of(config.device, registry)
    return BackendPlan(kind=kind, requested=name, engine=loaded.ref, device=device, config=config)


def _plan_recipe(
    name: str, recipe: BackendRecipe, config: BackendConfig, registry: Registry, kind: BackendKind
) -> BackendPlan:
    config = config.model_copy(update={"device": recipe.hardware})
    if recipe.launch_plan is not None:
        check_launch_plan(recipe.launch_plan, config)
    engine = _first_engine(recipe, registry, kind)
    device = None
    if recipe.device_runtime is not None:
        device = registry.load(PluginKind.DEVICE, recipe.device_runtime).ref
    return BackendPlan(
        kind=kind,
        requested=name,
        engine=engine,
        device=device,
        launch_plan=recipe.launch_plan,
        config=config,
    )


def _first_engine(recipe: BackendRecipe, registry: Registry, kind: BackendKind) -> PluginRef:
    """Return the first installed engine; one that is installed but broken is an error, not a reason to go on."""
    installed = set(registry.names(kind))
    for engine in recipe.engines:
        if engine in installed or ":" in engine:
            loaded = registry.load(kind, engine)
            if isinstance(loaded.target, BackendRecipe):
                raise PluginNotFound(
                    f"backend {recipe.name!r} names {engine!r} as its engine, which is itself a recipe; "
                    "a recipe's engines must be engine plugins"
                )
            return loaded.ref
    raise PluginNotFound(
        f"backend {recipe.name!r} needs one of the engines {', '.join(recipe.engines)}, and none is installed; "
        f"install one, for example sage-infer-{recipe.engines[0]}"
    )


def _device_of(device: str, registry: Registry) -> PluginRef | None:
    """Return the runtime of ``device`` if one is installed; an engine may bring its own for its home device."""
    if device in registry.names(PluginKind.DEVICE):
        return registry.load(PluginKind.DEVICE, device).ref
    return None
