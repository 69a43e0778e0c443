"""The package root: lazy at run time, complete for type checkers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sage_infer_contracts as contracts


def test_every_exported_name_resolves() -> None:
    for name in contracts.__all__:
        assert getattr(contracts, name) is not None


def test_unknown_name_is_an_attribute_error_not_an_import_error() -> None:
    with pytest.raises(AttributeError, match="NoSuchThing"):
        _ = contracts.NoSuchThing


def test_type_checkers_see_exactly_the_names_that_resolve() -> None:
    tree = ast.parse(Path(str(contracts.__file__)).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(contracts.__all__) - {"__version__"}
    assert set(contracts.__dir__()) == set(contracts.__all__)


def test_importing_the_package_root_loads_no_pydantic() -> None:
    code = "import sys, sage_infer_contracts; sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
