"""Multilayer perceptrons that shrink while they train.

`HardL0MLPClassifier` and `HardL0MLPRegressor` train with hard-concrete L0 gates on every input
and hidden unit and delete, from one epoch to the next, the units that stayed off. `l0_path` fits
networks of many sizes in one run; `HardL0MLPClassifierCV` and `HardL0MLPRegressorCV` choose the
size by cross-validation.
`PruningDisplay`, `SupportDisplay` and `FrontierDisplay` draw what came of it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fastl0._version import __version__

if TYPE_CHECKING:
    from fastl0.estimators.classifier import HardL0MLPClassifier
    from fastl0.estimators.cv import HardL0MLPClassifierCV, HardL0MLPRegressorCV
    from fastl0.estimators.path import L0Path, l0_path
    from fastl0.estimators.regressor import HardL0MLPRegressor
    from fastl0.plotting.frontier import FrontierDisplay
    from fastl0.plotting.pruning import PruningDisplay
    from fastl0.plotting.support import SupportDisplay

__all__ = [
    "FrontierDisplay",
    "HardL0MLPClassifier",
    "HardL0MLPClassifierCV",
    "HardL0MLPRegressor",
    "HardL0MLPRegressorCV",
    "L0Path",
    "PruningDisplay",
    "SupportDisplay",
    "__version__",
    "l0_path",
]

_HOMES = {
    "FrontierDisplay": "plotting.frontier",
    "HardL0MLPClassifier": "estimators.classifier",
    "HardL0MLPClassifierCV": "estimators.cv",
    "HardL0MLPRegressor": "estimators.regressor",
    "HardL0MLPRegressorCV": "estimators.cv",
    "L0Path": "estimators.path",
    "PruningDisplay": "plotting.pruning",
    "SupportDisplay": "plotting.support",
    "l0_path": "estimators.path",
}


def __getattr__(name: str) -> Any:
    # `import fastl0` alone (a version check, the command line's --help) stays quick.
    if name in _HOMES:
        return getattr(importlib.import_module(f"fastl0.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
