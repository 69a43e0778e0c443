"""Which engine, device and launch plan a backend name stands for, as data that can cross a process boundary."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.errors import InvalidRequest, PluginNotFound
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan
from sage_infer_contracts.plugins import PluginRef
from sage_infer_contracts.wire import WireModel

from .chips_here import chips_here
from .launch_checks import check_demands, check_refusals
from .launch_settings import asked_settings

if TYPE_CHECKING:
    from sage_infer.plugins import Registry
    from sage_infer.plugins.registry import LoadedPlugin

ENGINE_OPTION = "engine"
"""The option that names which of a recipe's engines is wanted; without it the recipe's order decides."""
BackendKind = Literal[PluginKind.BACKEND, PluginKind.EMBEDDING]


class BackendPlan(WireModel):
    """Everything a process needs to create one backend; plugins are named exactly, never sent."""

    kind: PluginKind
    requested: str
    engine: PluginRef
    device: PluginRef | None = None
    launch_plan: EngineLaunchPlan | None = None
    config: BackendConfig
    notes: tuple[str, ...] = Field(
        default=(), description="what was passed over, and what could not be checked"
    )

    def describe(self) -> str:
        """Return one line that says which engine and device were taken, and for which model."""
        engine = f"{self.engine.name} ({self.engine.distribution} {self.engine.version})"
        via = f" for {self.requested}" if self.requested.rpartition(":")[2] != self.engine.name else ""
        device = f" on {self.device.name} ({self.device.distribution})" if self.device else ""
        return f"{self.config.model.model_id}: {engine}{via}{device}"


def plan_backend(
    name: str,
    config: BackendConfig,
    *,
    registry: Registry,
    kind: BackendKind = PluginKind.BACKEND,
    capabilities: Collection[str] = (),
) -> BackendPlan:
    """Resolve ``name`` (a factory's or a recipe's) to a plan; nothing is created.

    ``capabilities`` are those that will be used, for a launch plan that refuses some. Detectors run, in children, only
    where a refusal depends on the chip. Raises the registry's errors for a name that cannot be loaded, and those of a
    launch plan's checks.
    """
    loaded = registry.load(kind, name)
    if isinstance(loaded.target, BackendRecipe):
        return _plan_recipe(loaded, name, config, registry, kind, capabilities)
    device = _device_of(config.device, registry)
    return BackendPlan(kind=kind, requested=name, engine=loaded.ref, device=device, config=config)


def _plan_recipe(
    loaded: LoadedPlugin,
    name: str,
    config: BackendConfig,
    registry: Registry,
    kind: BackendKind,
    capabilities: Collection[str],
) -> BackendPlan:
    recipe = _with_engine(loaded.target, config)
    options = {name: value for name, value in config.options.items() if name != ENGINE_OPTION}
    config = config.model_copy(update={"device": recipe.hardware, "options": options})
    engine, launch_plan, notes = _engine_of(recipe, loaded.ref, config, registry, kind, capabilities)
    device = None
    if recipe.device_runtime is not None:
        device = registry.load(PluginKind.DEVICE, recipe.device_runtime).ref
    return BackendPlan(
        kind=kind,
        requested=name,
        engine=engine,
        device=device,
        launch_plan=launch_plan,
        config=config,
        notes=notes,
    )


def _with_engine(recipe: BackendRecipe, config: BackendConfig) -> BackendRecipe:
    """Return the recipe with the one engine that the option names, or as it is."""
    chosen = config.options.get(ENGINE_OPTION)
    if chosen is None:
        return recipe
    if chosen not in recipe.engines:
        raise InvalidRequest(
            f"backend {recipe.name!r} runs on the engines {', '.join(recipe.engines)}, and not on {chosen!r}",
            param=f"options.{ENGINE_OPTION}",
        )
    return recipe.model_copy(update={"engines": (str(chosen),)})


def _engine_of(
    recipe: BackendRecipe,
    owner: PluginRef,
    config: BackendConfig,
    registry: Registry,
    kind: BackendKind,
    capabilities: Collection[str],
) -> tuple[PluginRef, EngineLaunchPlan | None, tuple[str, ...]]:
    """Return the first installed engine that the launch plan does not refuse, what of the plan is for it, and notes.

    An engine is passed over, with a note, only where the plan refuses this engine itself and the recipe names another
    that is installed; any other refusal or unmet demand is raised.
    """
    plan = recipe.launch_plan
    find_chips = cache(lambda: chips_here(recipe.hardware, config.device_ids, registry))
    origin = f"{owner.distribution} {owner.version}"
    notes: list[str] = []
    *others, last = _installed_engines(recipe, registry, kind)
    for name in (*others, last):
        engine = _load_engine(recipe, name, registry, kind)
        own = plan if plan is not None and plan.engine in (None, engine.name) else None
        asked = asked_settings(config, own, engine=engine.name, capabilities=capabilities)
        try:
            notes += check_refusals(plan, asked, find_chips, origin=origin) if plan is not None else ()
        except InvalidRequest as error:
            if error.param != "engine" or name == last:
                raise
            notes.append(f"{engine.name} is passed over: {error}")
            continue
        break
    if own is not None:
        check_demands(own)
    return engine, own, tuple(notes)


def _installed_engines(recipe: BackendRecipe, registry: Registry, kind: BackendKind) -> list[str]:
    installed = set(registry.names(kind))
    found = [engine for engine in recipe.engines if engine in installed or ":" in engine]
    if not found:
        raise PluginNotFound(
            f"backend {recipe.name!r} needs one of the engines {', '.join(recipe.engines)}, and none is installed; "
            f"install one, for example sage-infer-{recipe.engines[0]}"
        )
    return found


def _load_engine(recipe: BackendRecipe, name: str, registry: Registry, kind: BackendKind) -> PluginRef:
    """Load one engine; one that is installed but broken is an error, not a reason to go on."""
    loaded = registry.load(kind, name)
    if isinstance(loaded.target, BackendRecipe):
        raise PluginNotFound(
            f"backend {recipe.name!r} names {name!r} as its engine, which is itself a recipe; "
            "a recipe's engines must be engine plugins"
        )
    return loaded.ref


def _device_of(device: str, registry: Registry) -> PluginRef | None:
    """Return the runtime of ``device`` if one is installed; an engine may bring its own for its home device."""
    if device in registry.names(PluginKind.DEVICE):
        return registry.load(PluginKind.DEVICE, device).ref
    return None
