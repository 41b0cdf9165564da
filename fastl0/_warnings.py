"""Warnings that point at the line of the user's."""

import sys
import warnings

#: Packages whose frames a warning passes over.
_INSIDE = ("fastl0", "sklearn")


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line that called into fastl0, past scikit-learn's wrappers of `fit`."""
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals.get("__name__", "").split(".")[0] in _INSIDE:
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
