"""Numbers of bytes as users write them: 65536, "64KiB", "0.5 MB"."""

import math
import re
from numbers import Integral
from typing import Any

_UNITS = {"B": 1} | {
    name: base**power
    for base, suffix in ((1000, "B"), (1024, "iB"))
    for power, letters in ((1, "kK"), (2, "M"), (3, "G"))
    for name in (letter + suffix for letter in letters)
}


def parse_bytes(name: str, value: Any) -> int:
    """Check a number of bytes and return it as an int.

    Parameters
    ----------
    name : str
        Of the parameter.
    value : int or str
        "1500", "64KiB", "0.5 MB" and the like.

    Raises
    ------
    ValueError
        If it is not a positive number with a unit out of B, kB, KiB, MB, MiB, GB and GiB.
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0:
        return int(value)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*", str(value))
    unit = _UNITS.get(match[2] or "B") if match and isinstance(value, str) else None
    if match is None or unit is None or not 1 <= float(match[1]) * unit < math.inf:
        raise ValueError(
            f"`{name}` must be a positive number of bytes with a unit out of B, kB, KiB, MB, MiB, "
            f'GB and GiB, got {value!r}. Write for instance "64KiB".'
        )
    return int(float(match[1]) * unit)
