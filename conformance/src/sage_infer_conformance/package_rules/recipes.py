"""What there is to know of a recipe that is installed: itself as data, its vendor's chips, the runtimes beside it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files

from sage_infer_contracts.detecting.chips import read_chips
from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kinds import PluginKind
from sage_infer_contracts.launch import BackendRecipe

from .facts import Entry, Recipe
from .metadata import closure

CHIPS = "chips.json"
"""Where a vendor's package lists its chips: at its top."""


def read_recipe(entry: Entry, found: BackendRecipe, name: str) -> Recipe:
    """Return what is found out about the recipe that ``entry`` of the distribution ``name`` resolved to."""
    recipe, lost = _through_json(found)
    chips: tuple[str, ...] | None = None
    try:
        chips = _chips_beside(entry.value)
    except InvalidRequest as error:
        lost = lost or str(error)
    return Recipe(
        entry=entry.name,
        group=entry.group,
        recipe=recipe,
        lost=lost,
        chips=chips,
        runtimes=tuple(_runtimes_of(name)),
    )


def _through_json(found: BackendRecipe) -> tuple[BackendRecipe | None, str | None]:
    """Take a recipe through JSON; parts that were made without validation do not come back as they were."""
    try:
        text = found.model_dump_json(warnings="error")
        recipe = BackendRecipe.model_validate_json(text)
    except (ValueError, TypeError, AttributeError) as error:
        return None, f"it does not come back from JSON: {' '.join(str(error).split())[:300]}"
    if recipe != found or recipe.model_dump_json() != text:
        return recipe, "it is another recipe when it comes back from JSON"
    return recipe, None


def _chips_beside(target: str) -> tuple[str, ...] | None:
    file = files(target.partition(":")[0].strip().partition(".")[0]) / CHIPS
    return tuple(chip.name for chip in read_chips(file).chips) if file.is_file() else None


def _runtimes_of(name: str) -> list[str]:
    found = set()
    for one in closure([name]):
        try:
            points = distribution(one).entry_points
        except PackageNotFoundError:
            continue
        found |= {point.name for point in points if point.group == PluginKind.DEVICE.group}
    return sorted(found)
