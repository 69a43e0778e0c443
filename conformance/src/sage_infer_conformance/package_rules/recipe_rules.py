"""BR-01 to BR-03, each a pure function of the facts about an installed package and its recipes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from packaging.version import InvalidVersion, Version

from sage_infer_contracts.constraints import KVConstraints
from sage_infer_contracts.launch import BackendRecipe, EngineLaunchPlan, Refusal, VersionWindow

from ..judging.rules import Check, Rule, check
from .facts import PackageFacts, Recipe
from .proposals import proposed
from .settings import (
    ENGINE,
    KV_DTYPE,
    PAGE_SIZE,
    canonical,
    fault_of_name,
    fault_of_value,
    values_beyond,
    with_both_names,
)


def is_data_that_fits(_: object, facts: PackageFacts) -> Iterable[Check]:
    """BR-01: it is found under its own name; its device runtime lies in its package or in one that this requires."""
    for found in facts.loading.recipes:
        who = f"the recipe {found.entry!r}"
        yield check(found.lost is None, f"{who}: {found.lost}")
        recipe = found.recipe
        if recipe is None:
            continue
        yield check(recipe.name == found.entry, f"{who} calls itself {recipe.name!r}")
        if recipe.device_runtime is not None:
            says = f"{who} needs the device runtime {recipe.device_runtime!r}, which its package does not publish"
            yield check(recipe.device_runtime in found.runtimes, says)
        if recipe.launch_plan is not None:
            yield from _plan_fits(who, recipe, recipe.launch_plan)


def _plan_fits(who: str, recipe: BackendRecipe, plan: EngineLaunchPlan) -> Iterator[Check]:
    says = f"{who} is for {recipe.hardware}, and its launch plan for {plan.hardware}"
    yield check(plan.hardware == recipe.hardware, says)
    says = f"{who} plans for the engine {plan.engine!r}, and has {', '.join(recipe.engines)}"
    yield check(plan.engine is None or plan.engine in recipe.engines, says)
    demands = bool(plan.required_modules or plan.platform_plugin or plan.versions)
    says = f"{who} demands what may be missing, and has no install_hint"
    yield check(bool(plan.install_hint.strip()) or not demands, says)
    for window in plan.versions:
        yield check(_is_window(window), f"{who}: the versions of {window.distribution} are none: {window}")


def _is_window(window: VersionWindow) -> bool:
    try:
        return window.below is None or Version(window.minimum) < Version(window.below)
    except InvalidVersion:
        return False


def can_hold(_: object, facts: PackageFacts) -> Iterable[Check]:
    """BR-02: each part of each refusal of a launch plan; KV constraints name chips and settings in the same way."""
    for found in facts.loading.recipes:
        if found.recipe is None:
            continue
        for refusal in _refusals(found.recipe):
            who = f"{found.entry} refuses {_spell(refusal)}"
            yield from _says_why(who, refusal)
            yield from _is_asked_for(who, refusal, found.recipe, facts.distribution)
            yield from _chips_exist(who, refusal.chips, found)
        for constraints in found.recipe.kv_constraints:
            who = f"{found.entry} constrains KV ({constraints.source})"
            yield from _conditions(who, constraints.when, found.recipe, facts.distribution)
            yield from _chips_exist(who, constraints.chips, found)


def _says_why(who: str, refusal: Refusal) -> Iterator[Check]:
    for part in ("reason", "source", "alternative"):
        yield check(bool(getattr(refusal, part).strip()), f"{who}, and gives no {part}")


def _is_asked_for(who: str, refusal: Refusal, recipe: BackendRecipe, distribution: str) -> Iterator[Check]:
    fault = fault_of_name(refusal.setting, distribution)
    yield check(fault is None, f"{who}: {fault}")
    values = refusal.allowed if refusal.value is None else (refusal.value,)
    for value in values:
        fault = fault_of_value(refusal.setting, value, recipe.engines)
        yield check(fault is None, f"{who}: {fault}")
    yield from _conditions(who, refusal.when, recipe, distribution)
    both = refusal.value is not None and bool(refusal.allowed)
    yield check(not both, f"{who}: it names a value and allowed ones, of which only the value counts")
    asked = _asks_for(refusal)
    holds = asked is not None and refusal.holds_for(with_both_names(asked), next(iter(refusal.chips), None))
    yield check(holds, f"{who}: nothing that can be asked for is refused by that")


def _conditions(
    who: str, when: Mapping[str, str], recipe: BackendRecipe, distribution: str
) -> Iterator[Check]:
    for name, value in when.items():
        fault = fault_of_name(name, distribution) or fault_of_value(name, value, recipe.engines)
        yield check(fault is None, f"{who}: {fault}")


def _chips_exist(who: str, chips: tuple[str, ...], found: Recipe) -> Iterator[Check]:
    if chips:
        unknown = [chip for chip in chips if chip not in (found.chips or ())]
        yield check(not unknown, f"{who}: its list of chips has no {', '.join(unknown)}")


def leaves_a_way(_: object, facts: PackageFacts) -> Iterable[Check]:
    """BR-03: on each chip that a refusal is for. An alternative is read where it is written as ``name=value``."""
    for found in facts.loading.recipes:
        recipe = found.recipe
        if recipe is None or recipe.launch_plan is None:
            continue
        for refusal in recipe.launch_plan.refusals:
            yield from _has_a_way_out(found, recipe, refusal)
        yield from _does_not_refuse_itself(found, recipe, recipe.launch_plan)
        for constraints in recipe.kv_constraints:
            yield from _is_enforced(found, recipe, constraints)


def _has_a_way_out(found: Recipe, recipe: BackendRecipe, refusal: Refusal) -> Iterator[Check]:
    asked = _asks_for(refusal)
    if asked is None:
        return
    ways = proposed(refusal, recipe.engines)
    if not ways and refusal.allowed:
        ways = [{canonical(refusal.setting): value} for value in refusal.allowed]
    for chip in _chips(refusal.chips, found) if ways else ():
        if refusal.setting != ENGINE and _first_refusal(recipe, asked, chip, of=ENGINE):
            continue  # whatever else is asked for, this engine does not run there
        refused = [_first_refusal(recipe, {**asked, **way}, chip) for way in ways]
        says = (
            f"{found.entry} refuses {_spell(refusal)}{_on(chip)} and proposes {_list(ways)}, which it refuses"
        )
        yield check(None in refused, says)


def _does_not_refuse_itself(found: Recipe, recipe: BackendRecipe, plan: EngineLaunchPlan) -> Iterator[Check]:
    engine = plan.engine or recipe.engines[0]
    settings = {canonical(name): _text(value) for name, value in plan.arguments.items()} | {ENGINE: engine}
    for chip in _chips((), found):
        refusal = _first_refusal(recipe, settings, chip)
        if refusal is None or refusal.setting != ENGINE:
            own = None if refusal is None else _spell(refusal)
            yield check(refusal is None, f"{found.entry} plans what it refuses{_on(chip)}: {own}")


def _is_enforced(found: Recipe, recipe: BackendRecipe, constraints: KVConstraints) -> Iterator[Check]:
    limits = ((PAGE_SIZE, constraints.block_sizes), (KV_DTYPE, constraints.dtypes))
    for setting, allowed in limits:
        other = None if allowed is None else values_beyond(setting, tuple(map(str, allowed)))
        if other is None:
            continue
        engines = recipe.engines if constraints.engine is None else (constraints.engine,)
        for engine in engines:
            settings = {**constraints.when, ENGINE: engine, setting: other}
            for chip in _chips(constraints.chips, found):
                asked = f"{setting}={other} with {engine}{_on(chip)}"
                says = f"{found.entry} has KV constraints against {asked}, and no refusal"
                yield check(_first_refusal(recipe, settings, chip) is not None, says)


def _refusals(recipe: BackendRecipe) -> tuple[Refusal, ...]:
    return recipe.launch_plan.refusals if recipe.launch_plan is not None else ()


def _first_refusal(
    recipe: BackendRecipe, settings: Mapping[str, str], chip: str | None, *, of: str | None = None
) -> Refusal | None:
    """Return the first refusal, ``of`` one setting or of any, that holds for what is asked by the contract's names."""
    given = with_both_names(settings)
    return next(
        (one for one in _refusals(recipe) if of in (None, one.setting) and one.holds_for(given, chip)), None
    )


def _asks_for(refusal: Refusal) -> dict[str, str] | None:
    """Return settings that the refusal is against, by the contract's names; None where there are none."""
    value = refusal.value if refusal.value is not None else values_beyond(refusal.setting, refusal.allowed)
    return None if value is None else {canonical(refusal.setting): value, **refusal.when}


def _chips(named: tuple[str, ...], found: Recipe) -> tuple[str | None, ...]:
    """Return the chips in question; None stands for one that nobody can name."""
    return named or (*(found.chips or ()), None)


def _spell(refusal: Refusal) -> str:
    value = refusal.value if refusal.value is not None else f"other than {', '.join(refusal.allowed)}"
    when = "".join(f" with {name}={given}" for name, given in refusal.when.items())
    return f"{refusal.setting}={value}{when}"


def _on(chip: str | None) -> str:
    return "" if chip is None else f" on {chip}"


def _list(ways: Iterable[Mapping[str, str]]) -> str:
    return " or ".join(", ".join(f"{name}={value}" for name, value in way.items()) for way in ways)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


RECIPE_RULES = (
    Rule("BR-01", "exact", 1, is_data_that_fits, of="recipe"),
    Rule("BR-02", "exact", 1, can_hold, of="recipe"),
    Rule("BR-03", "sampled", 1, leaves_a_way, of="recipe"),
)
"""Rules for packages with a recipe; of a package without one nothing is claimed."""
