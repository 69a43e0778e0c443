"""Writes a new plugin package from the templates: a start that installs, lists, loads and runs."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import attrs

from sage_infer_contracts.errors import InvalidRequest
from sage_infer_contracts.kinds import (
    CONTRACTS_DISTRIBUTION,
    RESERVED_HARDWARE_NAMES,
    PluginKind,
    check_plugin_name,
)

_SUFFIX = ".tmpl"
_MARK = re.compile(r"@@([A-Z]+)@@")


@attrs.frozen(slots=True)
class Template:
    """One folder of templates: the kind it makes, how its class is called, and what the entry point names."""

    kind: PluginKind
    suffix: str
    summary: str
    is_module: bool = False
    is_judged: bool = True
    """Whether the conformance kit has rules for it."""


TEMPLATES: dict[str, Template] = {
    "backend": Template(PluginKind.BACKEND, "Backend", "an inference backend"),
    "embedding": Template(PluginKind.EMBEDDING, "Embedding", "an embedding backend"),
    "kv_tier": Template(PluginKind.KV_TIER, "Tier", "a KV cache tier"),
    "eviction": Template(PluginKind.EVICTION, "Eviction", "an eviction policy"),
    "transport": Template(PluginKind.TRANSPORT, "Transport", "a transport engine"),
    "detector": Template(PluginKind.HOOKS, "Detector", "a hardware detector", is_module=True),
    "device": Template(PluginKind.DEVICE, "Runtime", "a device runtime", is_judged=False),
    "model_source": Template(PluginKind.MODEL_SOURCE, "Source", "a model source", is_judged=False),
}
"""What ``sage infer plugin new`` can make, by the word it takes."""


_CERTIFY = """
The conformance kit says whether it keeps them. `run` writes a report to read and, when every clause holds, a
certificate to ship; `explain` says what a clause means and how it is judged.

```
sage infer conformance run {name} --out report
sage infer conformance explain PK-02
pytest --sage-plugin {name}
```
"""
"""What the README of a plugin says that the kit can judge."""

_SUBJECT = f"""
[project.entry-points."{PluginKind.CONFORMANCE.group}"]
{{name}} = "{{module}}.plugin:subject"
"""
"""Tells the kit what to judge where the plugin's own entry point does not: hooks are a module, and not a driver."""


def template_root() -> Path:
    """Return the folder of templates: inside the installed package, or in the repository it is run from."""
    here = Path(__file__).resolve()
    places = [here.parents[1] / "_template", here.parents[4] / "plugins" / "_template"]
    for place in places:
        if place.is_dir():
            return place
    raise InvalidRequest(
        f"the plugin templates are missing: looked in {places[0]} and {places[1]}; reinstall sage-infer"
    )


def create_plugin(what: str, name: str, folder: Path | None = None) -> Path:
    """Write the package of a new plugin and return its folder (default: ``sage-infer-NAME`` in the current one).

    Raises ``InvalidRequest`` for an unknown kind, an illegal or reserved name, a distribution that is installed
    already, or a folder that holds anything. Nothing is written then.
    """
    template = _template(what)
    values = _values(what, template, _free_name(name))
    target = folder if folder is not None else Path.cwd() / values["DIST"]
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidRequest(f"{target} exists and is not empty; nothing was written", param="path")
    root = template_root()
    texts = {place: _fill(source, values) for place, source in _plan(root, what, values["MODULE"]).items()}
    for place, text in texts.items():
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return target


def _template(what: str) -> Template:
    if what not in TEMPLATES:
        known = ", ".join(TEMPLATES)
        raise InvalidRequest(f"no template makes {what!r}; choose one of {known}", param="kind")
    return TEMPLATES[what]


def _free_name(name: str) -> str:
    try:
        check_plugin_name(name)
    except ValueError as error:
        raise InvalidRequest(str(error), param="name") from error
    if name in RESERVED_HARDWARE_NAMES:
        raise InvalidRequest(
            f"{name!r} is reserved for the project's own plugins; choose another name", param="name"
        )
    try:
        installed = distribution(_distribution_of(name))
    except PackageNotFoundError:
        return name
    raise InvalidRequest(
        f"{_distribution_of(name)} {installed.version} is installed already; choose another name",
        param="name",
    )


def _distribution_of(name: str) -> str:
    return f"sage-infer-{name.replace('_', '-')}"


def _values(what: str, template: Template, name: str) -> dict[str, str]:
    module = _distribution_of(name).replace("-", "_")
    stem = "".join(part.capitalize() for part in re.split("[-_]", name))
    class_name = stem if stem.endswith(template.suffix) else stem + template.suffix
    return {
        "NAME": name,
        "KIND": template.kind.value,
        "GROUP": template.kind.group,
        "DIST": _distribution_of(name),
        "MODULE": module,
        "CLASS": class_name,
        "TARGET": f"{module}.plugin" if template.is_module else f"{module}.plugin:{class_name}",
        "SUMMARY": f"{name}: {template.summary} for sage-infer",
        "FLOOR": ".".join(version(CONTRACTS_DISTRIBUTION).split(".")[:2]),
        "CERTIFY": _CERTIFY.format(name=name) if template.is_judged else "",
        "SUBJECT": _SUBJECT.format(name=name, module=module)
        if template.is_judged and template.is_module
        else "",
    }


def _plan(root: Path, what: str, module: str) -> dict[str, Path]:
    """Map each file of the new package to the template it is made from."""
    shared, own = root / "shared", root / what
    plan = {name: shared / f"{name}{_SUFFIX}" for name in ("pyproject.toml", "README.md")}
    plan[f"src/{module}/__init__.py"] = shared / f"init.py{_SUFFIX}"
    plan[f"src/{module}/py.typed"] = shared / f"py.typed{_SUFFIX}"
    for source in sorted(own.glob(f"*.py{_SUFFIX}")):
        name = source.name.removesuffix(_SUFFIX)
        is_test = name == "test_plugin.py"
        plan[f"tests/test_{module}.py" if is_test else f"src/{module}/{name}"] = source
    return plan


def _fill(source: Path, values: dict[str, str]) -> str:
    return _MARK.sub(lambda match: values[match[1]], source.read_text(encoding="utf-8"))
