"""What a launch plan refuses, and what it demands of this machine, checked before any process is started."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from packaging.version import InvalidVersion, Version

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest, PluginIncompatible
from sage_infer_contracts.launch import EngineLaunchPlan, Refusal, VersionWindow

from .launch_settings import asked_settings

Chips = Sequence[str | None]
"""The chips that will be used; None stands for one that nothing on this machine names."""


def check_launch_plan(
    plan: EngineLaunchPlan,
    config: BackendConfig,
    *,
    engine: str | None = None,
    find_chips: Callable[[], Chips] = lambda: (None,),
) -> tuple[str, ...]:
    """Raise unless every demand of ``plan`` is met and ``config`` asks for nothing it refuses.

    Returns what could not be checked, in sentences. Raises ``InvalidRequest`` (a refused setting),
    ``DeviceUnavailable`` (something is not installed) or ``PluginIncompatible`` (a version outside the tested window).
    """
    notes = check_refusals(plan, asked_settings(config, plan, engine=engine), find_chips)
    check_demands(plan)
    return notes


def check_refusals(
    plan: EngineLaunchPlan,
    settings: Mapping[str, str],
    find_chips: Callable[[], Chips],
    *,
    origin: str = "",
) -> tuple[str, ...]:
    """Raise ``InvalidRequest`` for the first refusal that holds, engines before all else; return doubts in sentences.

    ``find_chips`` is called only if a refusal that would hold is for particular chips. ``origin`` says whose plan it
    is. With several chips, what one of them is refused is refused.
    """
    doubtful = sorted(
        (refusal for refusal in plan.refusals if _may_hold(refusal, settings)),
        key=lambda refusal: refusal.setting != "engine",
    )
    chips: Chips = find_chips() if any(refusal.chips for refusal in doubtful) else (None,)
    notes = []
    for refusal in doubtful:
        for chip in chips:
            if refusal.holds_for(settings, chip):
                raise InvalidRequest(
                    refused(plan, refusal, settings, chip=chip, origin=origin), param=refusal.setting
                )
        if refusal.chips and None in chips:
            notes.append(
                f"not checked, because the chip is not known: {refusal.setting}={settings[refusal.setting]} is "
                f"refused on {', '.join(refusal.chips)}: {refusal.reason}"
            )
    return tuple(notes)


def refused(
    plan: EngineLaunchPlan,
    refusal: Refusal,
    settings: Mapping[str, str],
    *,
    chip: str | None = None,
    origin: str = "",
) -> str:
    """Say what is refused, with what else, why, what to do instead, and who says so."""
    where = f"{plan.hardware} ({chip})" if refusal.chips and chip is not None else plan.hardware
    also = ", ".join(f"{name}={value}" for name, value in refusal.when.items())
    parts = [
        f"{where} cannot run with {refusal.setting}={settings[refusal.setting]}"
        + (f" and {also}" if also else "")
        + f": {refusal.reason}"
    ]
    if refusal.alternative:
        parts.append(f"instead: {refusal.alternative}")
    elif refusal.allowed:
        parts.append(f"allowed: {', '.join(refusal.allowed)}")
    parts.append(f"refused by the launch plan of {origin or plan.hardware}")
    return "; ".join(parts)


def check_demands(plan: EngineLaunchPlan) -> None:
    """Raise the first of :func:`unmet_demands`, if there is one."""
    for error in unmet_demands(plan):
        raise error


def unmet_demands(plan: EngineLaunchPlan) -> list[DeviceUnavailable | PluginIncompatible]:
    """Return what this machine lacks of modules, platform plugin and versions; only metadata is read."""
    hint = f"; {plan.install_hint}" if plan.install_hint else ""
    unmet: list[DeviceUnavailable | PluginIncompatible] = [
        DeviceUnavailable(
            f"{plan.hardware} needs the module {module!r}, which is not installed{hint}",
            reason="missing_module",
        )
        for module in plan.required_modules
        if find_spec(module) is None
    ]
    if plan.platform_plugin is not None and not _entry_point_installed(plan.platform_plugin):
        unmet.append(
            DeviceUnavailable(
                f"{plan.hardware} needs the engine's platform plugin {plan.platform_plugin!r}, "
                f"which is not installed{hint}",
                reason="missing_platform_plugin",
            )
        )
    outside = (_outside(window, plan.hardware, hint) for window in plan.versions)
    return [*unmet, *(error for error in outside if error is not None)]


def _may_hold(refusal: Refusal, settings: Mapping[str, str]) -> bool:
    """Say whether it holds on any chip at all."""
    return refusal.model_copy(update={"chips": ()}).holds_for(settings, None)


def _entry_point_installed(wanted: str) -> bool:
    """Look for ``group:name``, or for ``name`` in any group; reads metadata only."""
    group, colon, name = wanted.rpartition(":")
    return bool(entry_points(group=group, name=name) if colon else entry_points(name=wanted))


def _outside(
    window: VersionWindow, hardware: str, hint: str
) -> DeviceUnavailable | PluginIncompatible | None:
    try:
        found = version(window.distribution)
    except PackageNotFoundError:
        return DeviceUnavailable(
            f"{hardware} needs {window.distribution} >= {window.minimum}, which is not installed{hint}",
            reason="missing_distribution",
        )
    try:
        inside = Version(found) >= Version(window.minimum) and (
            window.below is None or Version(found) < Version(window.below)
        )
    except InvalidVersion as error:
        return PluginIncompatible(f"{window.distribution}: {error}")
    if inside:
        return None
    below = f", < {window.below}" if window.below else ""
    return PluginIncompatible(
        f"{hardware} was tested with {window.distribution} >= {window.minimum}{below}; found {found}{hint}"
    )
