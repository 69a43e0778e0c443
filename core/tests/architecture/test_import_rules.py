"""The import rules of the house: who may import whom, checked on the source and in child processes."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CONTRACTS_MAY_IMPORT = {"attrs", "pydantic", "pluggy"}
HEAVY = {"torch", "torch_npu", "torch_mlu", "torch_musa", "torch_xmlir", "vllm", "transformers"}
ENGINES = {"torch", "vllm"}
# The YAML reader of quantisation profiles: an optional extra, imported inside the one function that needs it.
CONTRACTS_EXCEPTION = {("quantization.py", "yaml")}
RESERVED_WORDS = (
    "cuda",
    "ascend",
    "cambricon",
    "hygon",
    "kunlunxin",
    "nvidia",
    "torch_npu",
    "neuware",
    "huawei",
)


@cache
def distributions() -> dict[str, Path]:
    """Folder name to package folder, of every distribution in the workspace."""
    found = {}
    for pyproject in [*ROOT.glob("*/pyproject.toml"), *ROOT.glob("plugins/*/pyproject.toml")]:
        if pyproject.parent.name.startswith("_"):
            continue
        packages = tomllib.loads(pyproject.read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
            "wheel"
        ]
        found[pyproject.parent.name] = pyproject.parent / packages["packages"][0]
    return found


def imports_of(file: Path) -> Iterator[tuple[str, bool]]:
    """Yield (top-level package, whether only type checkers see it) for each absolute import in ``file``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], id(node) in guarded
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0], id(node) in guarded


def violations(folder: str, allowed_ours: set[str]) -> list[str]:
    package = distributions()[folder]
    own = package.name
    return [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in package.rglob("*.py")
        for name, _ in imports_of(file)
        if name.startswith(("sage_infer", "_sage_infer")) and name not in {own, *allowed_ours}
    ]


def test_contracts_import_nothing_of_ours_and_only_three_libraries() -> None:
    package = distributions()["contracts"]
    foreign = [
        f"{file.name} imports {name}"
        for file in package.rglob("*.py")
        for name, _ in imports_of(file)
        if name not in sys.stdlib_module_names | CONTRACTS_MAY_IMPORT
        and (file.name, name) not in CONTRACTS_EXCEPTION
    ]
    assert foreign == []


def test_core_imports_contracts_and_no_plugin() -> None:
    assert violations("core", {"sage_infer_contracts"}) == []


@pytest.mark.parametrize("folder", sorted(set(distributions()) - {"contracts", "core"} - ENGINES))
def test_everything_but_engines_imports_contracts_only(folder: str) -> None:
    assert violations(folder, {"sage_infer_contracts"}) == []


@pytest.mark.parametrize("folder", sorted(set(distributions()) & ENGINES))
def test_engines_import_contracts_and_the_kv_cache_only(folder: str) -> None:
    assert violations(folder, {"sage_infer_contracts", "sage_infer"}) == []
    reaching = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in distributions()[folder].rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(("from sage_infer.", "import sage_infer."))
        and "sage_infer.kv_cache" not in line
    ]
    assert reaching == []


@pytest.mark.parametrize("folder", ["contracts", "core"])
def test_no_module_of_contracts_or_core_imports_a_framework(folder: str) -> None:
    heavy = [
        f"{file.relative_to(ROOT)} imports {name}"
        for file in distributions()[folder].rglob("*.py")
        for name, _ in imports_of(file)
        if name in HEAVY
    ]
    assert heavy == []


@pytest.mark.parametrize("folder", ["contracts", "core"])
def test_vendor_names_stand_in_the_reserved_list_only(folder: str) -> None:
    # Documentation may give an address such as "cuda:0" as an example; code may not decide by vendor.
    found = []
    for file in distributions()[folder].rglob("*.py"):
        if file.name == "kinds.py":
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            text = (
                node.value
                if isinstance(node, ast.Constant)
                else getattr(node, "id", getattr(node, "attr", ""))
            )
            if (
                isinstance(text, str)
                and id(node) not in docs
                and any(word in text.lower() for word in RESERVED_WORDS)
            ):
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}: {text[:60]!r}")  # type: ignore[attr-defined]
    assert found == []


def entry_modules() -> list[str]:
    """The package and every module that an entry point of the workspace names."""
    modules = {"sage_infer", "sage_infer_contracts"}
    for pyproject in ROOT.glob("plugins/*/pyproject.toml"):
        if pyproject.parent.name.startswith("_"):
            continue
        groups = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"].get("entry-points", {})
        modules |= {target.partition(":")[0] for group in groups.values() for target in group.values()}
    return sorted(modules)


@pytest.mark.parametrize("module", entry_modules())
def test_importing_an_entry_module_loads_no_framework(module: str) -> None:
    code = (
        "import importlib, importlib.util, sys\n"
        f"if importlib.util.find_spec({module.split('.')[0]!r}) is None: sys.exit(77)\n"
        f"importlib.import_module({module!r})\n"
        f"loaded = sorted({HEAVY!r} & set(sys.modules))\n"
        "print(loaded)\n"
        "sys.exit(bool(loaded))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    if child.returncode == 77:
        pytest.skip(f"{module.split('.')[0]} is not installed in this environment")
    assert child.returncode == 0, child.stdout + child.stderr


def test_every_plugin_declares_a_floor_on_contracts_and_no_cap() -> None:
    for folder, package in distributions().items():
        if folder in ("contracts", "core"):
            continue
        pyproject = tomllib.loads((package.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        needs = [d for d in pyproject["project"]["dependencies"] if d.startswith("sage-infer-contracts")]
        assert len(needs) == 1, folder
        assert ">=" in needs[0], folder
        assert not set("<~!") & set(needs[0]), folder


def test_framework_builds_are_extras_of_every_package_but_the_engines() -> None:
    for folder, package in distributions().items():
        if folder in ENGINES:
            continue
        pyproject = tomllib.loads((package.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
        needed = {re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in pyproject["project"]["dependencies"]}
        assert not needed & HEAVY, folder
