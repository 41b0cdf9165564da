"""The rooms and what each may import, as CONTRIBUTING.md draws them."""

import ast
from pathlib import Path

import pytest

import fastl0

PACKAGE = Path(fastl0.__file__).parent

KERNELS = {"gates", "jit", "_kernels"}
TRAINING = KERNELS | {
    "blocks",
    "kernels",
    "epoch",
    "memory",
    "network",
    "ordering",
    "phases",
    "pruning",
    "sizes",
    "steering",
    "stopping",
    "threads",
    "visits",
}
PLANNING = TRAINING | {"fitted", "footprint", "targets", "training", "validation"}
FITTING = PLANNING | {"callbacks", "judging", "planning", "progress", "rows"}
ESTIMATOR = {
    "blocks",
    "callbacks",
    "diagram",
    "fitting",
    "names",
    "network",
    "selecting",
    "streaming",
    "targets",
    "training",
    "validation",
}

MAY_IMPORT = {
    "__init__": {"classifier", "displays", "path", "regressor", "selection"},
    "__main__": {"commands"},
    "blocks": {"validation"},
    "callback_shim": set(),
    "callbacks": {"callback_shim"},
    "classifier": {"estimator", "network", "targets"},
    "datasets": set(),
    "diagram": {"sizes", "validation"},
    "displays": {"style"},
    "epoch": {"jit", "kernels", "ordering", "products"},
    "estimator": ESTIMATOR,
    "fitted": {"network", "targets", "training"},
    "fitting": FITTING,
    "footprint": {"fitted", "memory", "network", "sizes", "targets", "training", "validation"},
    "gates": set(),
    "jit": {"_kernels"},
    "judging": {"_kernels", "blocks", "fitted", "network", "targets", "training"},
    "kernels": {"gates", "jit"},
    "memory": {"_kernels", "epoch", "products", "sizes"},
    "names": set(),
    "network": {"gates"},
    "ordering": {"jit"},
    "path": {
        "blocks",
        "classifier",
        "estimator",
        "fitting",
        "footprint",
        "planning",
        "regressor",
        "rows",
        "validation",
    },
    "phases": set(),
    "planning": {"footprint", "gates", "memory", "targets", "threads", "training", "validation"},
    "plots": {"style"},
    "progress": set(),
    "products": {"jit"},
    "pruning": {"sizes"},
    "regressor": {"estimator", "targets"},
    "rows": {"blocks", "validation"},
    "selecting": {"blocks", "validation"},
    "selection": {"classifier", "estimator", "path", "regressor"},
    "sizes": set(),
    "steering": set(),
    "stopping": set(),
    "streaming": FITTING | {"fitting", "names"},
    "style": set(),
    "targets": {"network"},
    "threads": {"_kernels"},
    "training": TRAINING,
    "validation": set(),
    "visits": {"_kernels", "blocks", "ordering"},
}


def imports_of(path):
    """Names of the fastl0 modules that a file imports anywhere, type checking included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "fastl0":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fastl0."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("fastl0."):
                    yield alias.name.split(".")[1]


def test_every_module_is_listed():
    assert {path.stem for path in PACKAGE.glob("*.py")} == set(MAY_IMPORT)


@pytest.mark.parametrize("module", sorted(MAY_IMPORT))
def test_a_module_imports_only_what_it_may(module):
    assert set(imports_of(PACKAGE / f"{module}.py")) <= MAY_IMPORT[module]


def test_the_library_never_imports_its_commands():
    for path in PACKAGE.glob("*.py"):
        if path.stem != "__main__":
            assert "commands" not in set(imports_of(path))
