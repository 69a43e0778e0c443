"""What a launch plan demands of this machine, checked before any process is started."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec

from packaging.version import InvalidVersion, Version

from sage_infer_contracts.backend import BackendConfig
from sage_infer_contracts.errors import DeviceUnavailable, InvalidRequest, PluginIncompatible
from sage_infer_contracts.launch import EngineLaunchPlan, VersionWindow


def check_launch_plan(plan: EngineLaunchPlan, config: BackendConfig) -> None:
    """Raise unless every demand of ``plan`` is met and ``config`` asks for nothing it refuses.

    Raises ``InvalidRequest`` (a refused setting), ``DeviceUnavailable`` (something is not installed) or
    ``PluginIncompatible`` (a version outside the tested window).
    """
    _check_refusals(plan, config)
    hint = f"; {plan.install_hint}" if plan.install_hint else ""
    for module in plan.required_modules:
        if find_spec(module) is None:
            raise DeviceUnavailable(
                f"{plan.hardware} needs the module {module!r}, which is not installed{hint}",
                reason="missing_module",
            )
    if plan.platform_plugin is not None and not _entry_point_installed(plan.platform_plugin):
        raise DeviceUnavailable(
            f"{plan.hardware} needs the engine's platform plugin {plan.platform_plugin!r}, "
            f"which is not installed{hint}",
            reason="missing_platform_plugin",
        )
    for window in plan.versions:
        _check_window(window, plan.hardware, hint)


def _check_refusals(plan: EngineLaunchPlan, config: BackendConfig) -> None:
    asked = config.model_dump(mode="json")
    for refusal in plan.refusals:
        value: object = asked
        for part in refusal.setting.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None and str(value) == refusal.value:
            raise InvalidRequest(
                f"{plan.hardware} cannot run with {refusal.setting}={refusal.value}: {refusal.reason}",
                param=refusal.setting,
            )


def _entry_point_installed(wanted: str) -> bool:
    """Look for ``group:name``, or for ``name`` in any group; reads metadata only."""
    group, colon, name = wanted.rpartition(":")
    return bool(entry_points(group=group, name=name) if colon else entry_points(name=wanted))


def _check_window(window: VersionWindow, hardware: str, hint: str) -> None:
    try:
        found = version(window.distribution)
    except PackageNotFoundError:
        raise DeviceUnavailable(
            f"{hardware} needs {window.distribution} >= {window.minimum}, which is not installed{hint}",
            reason="missing_distribution",
        ) from None
    try:
        inside = Version(found) >= Version(window.minimum) and (
            window.below is None or Version(found) < Version(window.below)
        )
    except InvalidVersion as error:
        raise PluginIncompatible(f"{window.distribution}: {error}") from None
    if not inside:
        below = f", < {window.below}" if window.below else ""
        raise PluginIncompatible(
            f"{hardware} was tested with {window.distribution} >= {window.minimum}{below}; found {found}{hint}"
        )
