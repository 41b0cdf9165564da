"""Reads the entries of a nested state one by one, each checked for its kind and its bounds.

What comes from a file may be anything: who takes it up asks here for every entry and says what
it must be.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: More epochs, updates and draws than there can be.
MAX_COUNT = 2**53


class StateError(ValueError):
    """A state holds something else than it must."""


class StateReader:
    """The entries of a dict, to be read by name.

    Parameters
    ----------
    state : object
        What should be a dict.
    name : str, default=""
        Where in the whole state it stands, for messages.

    Raises
    ------
    StateError
        By every method, if an entry is missing, of another kind or out of bounds.
    """

    def __init__(self, state: Any, name: str = "") -> None:
        if not isinstance(state, dict):
            raise StateError(f"`{name or 'state'}` must be a dict, got {_shown(state)}")
        self._state: dict[str, Any] = state
        self._name = name
        self._unread = set(state)

    def _where(self, name: str) -> str:
        return f"{self._name}.{name}" if self._name else name

    def _read(self, name: str) -> Any:
        if name not in self._state:
            raise StateError(f"`{self._where(name)}` is missing")
        self._unread.discard(name)
        return self._state[name]

    def _refuse(self, name: str, rule: str) -> StateError:
        return StateError(f"`{self._where(name)}` must be {rule}, got {_shown(self._state[name])}")

    def nested(self, name: str) -> "StateReader":
        """Return the entries of a dict in this one."""
        return StateReader(self._read(name), self._where(name))

    def is_none(self, name: str) -> bool:
        """Say whether an entry is None; only if it is, it counts as read."""
        if self._state.get(name, self) is not None:
            return False
        self._unread.discard(name)
        return True

    def integer(self, name: str, low: int, high: int) -> int:
        """Return an int in [low, high]."""
        value = self._read(name)
        if type(value) is not int or not low <= value <= high:
            raise self._refuse(name, f"an int in [{low}, {high}]")
        return value

    def number(self, name: str, low: float = -math.inf, high: float = math.inf) -> float:
        """Return a float in [low, high], which NaN is not."""
        value = self._read(name)
        if type(value) is not float or not low <= value <= high:
            raise self._refuse(name, f"a float in [{low:g}, {high:g}]")
        return value

    def flag(self, name: str) -> bool:
        """Return True or False."""
        value = self._read(name)
        if type(value) is not bool:
            raise self._refuse(name, "true or false")
        return value

    def text(self, name: str) -> str:
        """Return a str."""
        value = self._read(name)
        if not isinstance(value, str):
            raise self._refuse(name, "a str")
        return value

    def items(self, name: str, most: int) -> list["StateReader"]:
        """Return the dicts of a list of up to `most`."""
        value = self._read(name)
        if not isinstance(value, list) or len(value) > most:
            raise self._refuse(name, f"a list of up to {most}")
        return [StateReader(item, f"{self._where(name)}[{k}]") for k, item in enumerate(value)]

    def array(
        self,
        name: str,
        dtype: DTypeLike,
        shape: tuple[int | None, ...],
        low: float = -math.inf,
        high: float = math.inf,
        *,
        may_be_nan: bool = False,
    ) -> NDArray[Any]:
        """Return an array.

        Parameters
        ----------
        name : str
        dtype : dtype
        shape : tuple of int or None
            None for any length.
        low, high : float
            Of every entry.
        may_be_nan : bool, default=False
            Whether entries may be NaN beside.
        """
        value = self._read(name)
        dtype = np.dtype(dtype)
        if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != len(shape):
            raise self._refuse(name, f"{len(shape)}-dimensional of dtype {dtype}")
        if any(n is not None and n != m for n, m in zip(shape, value.shape, strict=True)):
            wanted = tuple("any" if n is None else n for n in shape)
            raise self._refuse(name, f"of shape {wanted}")
        if value.size and dtype.kind != "b":
            flat = value.reshape(-1)
            if may_be_nan:
                flat = flat[~np.isnan(flat)]
            # With NaN in it the extremes are NaN, which no bounds hold.
            if flat.size and not (low <= flat.min().item() and flat.max().item() <= high):
                raise self._refuse(name, f"within [{low:g}, {high:g}]")
        return value

    def end(self) -> None:
        """Refuse entries that nobody has read."""
        if self._unread:
            names = ", ".join(self._where(name) for name in sorted(self._unread)[:3])
            raise StateError(f"there is no such thing as `{names[:80]}`")


def _shown(value: Any) -> str:
    """A short form of a value."""
    if isinstance(value, np.ndarray):
        if not value.size:
            return f"shape {value.shape} of {value.dtype}"
        return (
            f"shape {value.shape} of {value.dtype} within "
            f"[{value.reshape(-1).min()}, {value.reshape(-1).max()}]"
        )
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
