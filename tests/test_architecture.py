"""Who may import whom. One table, which the documentation shows."""

import ast
import re
from pathlib import Path

import pytest

import fastl0

PACKAGE = Path(fastl0.__file__).parent

#: Sub-packages and modules at the top, from the ground up, and what each may import.
MAY_IMPORT = {
    "_kernels": "",
    "_warnings": "",
    "_version": "",
    "_fork_safety": "",
    "model": "",
    "plotting": "",
    "data": "model",
    "kernel_api": "",
    "_numba": "_kernels kernel_api model",
    "checkpoint": "data _warnings _version",
    "training": "checkpoint _numba kernel_api data model _kernels _warnings",
    "estimators": "training checkpoint data model _kernels _fork_safety _warnings",
    "__init__": "estimators plotting _version",
    "cli": "estimators plotting _version",
    "__main__": "cli",
}


def place_of(path):
    """The sub-package that a file belongs to, or its own name if it stands at the top."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imports_of(path):
    """Names at the top of fastl0 that a file imports from, type checking included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "fastl0":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fastl0."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("fastl0."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("place", MAY_IMPORT)
def test_a_sub_package_imports_only_what_it_may(place):
    paths = [path for path in PACKAGE.rglob("*.py") if place_of(path) == place]
    for path in paths:
        found = set(imports_of(path)) & set(MAY_IMPORT)
        assert found <= {place, *MAY_IMPORT[place].split()}, path


def test_the_table_runs_upwards_only():
    for number, place in enumerate(MAY_IMPORT):
        assert set(MAY_IMPORT[place].split()) <= set(list(MAY_IMPORT)[:number])


def test_all_kernels_are_in_one_sub_package():
    for path in PACKAGE.rglob("*.py"):
        if re.search(r"^@kernel|= kernel\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            assert place_of(path) == "_numba", path


def test_every_file_has_its_place():
    assert {place_of(path) for path in PACKAGE.rglob("*.py")} == set(MAY_IMPORT) - {"_kernels"}


def test_importing_a_sub_package_imports_nothing_else_of_fastl0():
    for path in PACKAGE.glob("*/__init__.py"):
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.Import | ast.ImportFrom):
                assert "fastl0" not in ast.unparse(statement), path
