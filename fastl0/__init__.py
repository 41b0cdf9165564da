"""Multilayer perceptrons that shrink while they train.

`HardL0MLPClassifier` trains with hard-concrete L0 gates on every input and hidden unit
and deletes, at the end of each epoch, the units that stayed off.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastl0.classifier import HardL0MLPClassifier

__version__ = "0.1.0"
__all__ = ["HardL0MLPClassifier", "__version__"]


def __getattr__(name: str) -> Any:
    # `import fastl0` alone (a version check, the command line's --help) stays quick.
    if name == "HardL0MLPClassifier":
        from fastl0.classifier import HardL0MLPClassifier

        return HardL0MLPClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
