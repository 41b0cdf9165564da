"""Loads the training code when a fit begins: `import fastl0` and predicting need none of it."""

from types import ModuleType

from fastl0._fork_safety import importing


def load() -> tuple[ModuleType, ModuleType]:
    """Load all that fits and streams need: the kernels and the training loop.

    Forks wait meanwhile: a child could never finish an import that another thread has begun.

    Returns
    -------
    fit, partial_fit : module
    """
    with importing:
        from fastl0.estimators import fit, partial_fit

    return fit, partial_fit
