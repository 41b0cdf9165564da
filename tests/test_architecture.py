"""The rooms and what each may import, as CONTRIBUTING.md draws them."""

import ast
import re
from pathlib import Path

import pytest

import fastl0

PACKAGE = Path(fastl0.__file__).parent

KERNELS = {"gates", "jit", "_kernels"}
TRAINING = KERNELS | {
    "blocks",
    "epoch",
    "fields",
    "generator",
    "lent",
    "memory",
    "network",
    "notices",
    "ordering",
    "passes",
    "phases",
    "plan",
    "pruning",
    "record",
    "safeguard",
    "shrinking",
    "sizes",
    "steering",
    "stopping",
    "threads",
    "visits",
}
PLANNING = TRAINING | {
    "checkpoints",
    "fingerprint",
    "fitted",
    "footprint",
    "targets",
    "training",
    "validation",
}
FITTING = PLANNING | {"callbacks", "inputs", "judging", "keeping", "planning", "progress", "rows"}
ESTIMATOR = {
    "blocks",
    "callbacks",
    "diagram",
    "exporting",
    "fitting",
    "forks",
    "importances",
    "inputs",
    "names",
    "network",
    "plan",
    "selecting",
    "streaming",
    "targets",
    "validation",
}

MAY_IMPORT = {
    "__init__": {
        "classifier",
        "frontier_display",
        "path",
        "pruning_display",
        "regressor",
        "selection",
        "support_display",
    },
    "__main__": {"commands"},
    "archive": set(),
    "blocks": {"inputs"},
    "callback_shim": set(),
    "callbacks": {"callback_shim"},
    "checkpoints": {"archive"},
    "classes": {"network", "targets"},
    "classifier": {"classes", "docstrings", "estimator", "forks", "network", "validation"},
    "datasets": set(),
    "docstrings": set(),
    "diagram": {"sizes", "validation"},
    "displaying": {"style"},
    "epoch": {"jit", "kernels", "lent", "one_row", "ordering", "products", "updates"},
    "estimator": ESTIMATOR,
    "exporting": set(),
    "fields": set(),
    "fingerprint": {"__version__", "blocks"},
    "fitted": {"network", "plan", "record", "targets", "training"},
    "fitting": FITTING,
    "following": set(),
    "footprint": {
        "fitted",
        "memory",
        "names",
        "network",
        "plan",
        "record",
        "sizes",
        "targets",
        "validation",
    },
    "forks": set(),
    "frontier_display": {"displaying", "style"},
    "gates": set(),
    "generator": {"fields"},
    "importances": {"network"},
    "inputs": set(),
    "jit": {"_kernels", "forks"},
    "judging": {
        "_kernels",
        "blocks",
        "fitted",
        "names",
        "network",
        "plan",
        "targets",
        "validation",
    },
    "keeping": {"checkpoints", "fields", "notices", "plan", "training"},
    "kernels": {"gates", "jit"},
    "lent": {"jit", "products"},
    "memory": {"_kernels", "fields", "gates", "lent", "products", "sizes"},
    "names": set(),
    "network": {"gates"},
    "notices": set(),
    "one_row": {"jit", "kernels", "products"},
    "ordering": {"jit"},
    "passes": {"blocks", "epoch", "lent", "memory", "ordering", "plan", "threads", "visits"},
    "path": {
        "blocks",
        "classifier",
        "estimator",
        "fitting",
        "footprint",
        "forks",
        "names",
        "planning",
        "regressor",
        "rows",
        "validation",
    },
    "phases": {"fields"},
    "plan": {"_kernels", "blocks", "kernels", "lent", "network"},
    "planning": {
        "footprint",
        "gates",
        "memory",
        "plan",
        "targets",
        "threads",
        "training",
        "validation",
    },
    "plots": {"style"},
    "progress": set(),
    "products": {"jit"},
    "pruning": {"sizes"},
    "pruning_display": {"displaying", "style"},
    "reals": {"targets"},
    "record": {"fields", "network", "stopping"},
    "regressor": {"docstrings", "estimator", "forks", "reals", "validation"},
    "rows": {"blocks", "inputs"},
    "safeguard": {"fields"},
    "selecting": {"blocks", "inputs"},
    "selection": {"classifier", "docstrings", "estimator", "path", "regressor", "validation"},
    "shrinking": {"gates", "memory", "plan", "pruning", "sizes", "steering"},
    "sizes": set(),
    "steering": {"fields"},
    "stopping": {"fields"},
    "streaming": FITTING | {"fitting", "following", "names", "reals"},
    "style": set(),
    "support_display": {"displaying", "style"},
    "targets": set(),
    "threads": {"_kernels"},
    "training": TRAINING,
    "updates": {"jit", "kernels", "lent", "one_row", "products"},
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


def test_a_change_of_any_kernel_compiles_all_anew():
    with_kernels = {
        path.name
        for path in PACKAGE.glob("*.py")
        if re.search(r"^@kernel|= kernel\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    makefile = (PACKAGE.parent / "Makefile").read_text(encoding="utf-8")
    listed = re.search(r"^KERNELS := (?:.*\\\n)*.*$", makefile, re.MULTILINE)
    digest = (PACKAGE / "jit.py").read_text(encoding="utf-8").partition("def _digest")[2]
    for name in with_kernels | {"jit.py", "gates.py"}:
        assert name in re.split(r"[ ,()\n]+", listed.group())
        assert f'"{name}"' in digest.partition("hashlib")[0]


def test_the_library_never_imports_its_commands():
    for path in PACKAGE.glob("*.py"):
        if path.stem != "__main__":
            assert "commands" not in set(imports_of(path))
