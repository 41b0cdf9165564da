"""A NumPy generator: its state as plain values and back, and a copy."""

from typing import Any

import numpy as np

from fastl0.checkpoint.state_reader import StateError, StateReader


def state_of(generator: np.random.Generator) -> dict[str, Any]:
    """State of the generator that `numpy.random.default_rng` makes."""
    state: Any = generator.bit_generator.state
    return {
        **state["state"],
        "has_uint32": state["has_uint32"],
        "uinteger": state["uinteger"],
    }


def read_state(fields: StateReader) -> dict[str, Any]:
    """Return a state as ``generator.bit_generator.state`` takes it.

    Raises
    ------
    StateError
        If it is not sound.
    """
    state, inc = (fields.integer(name, 0, 2**128 - 1) for name in ("state", "inc"))
    if inc % 2 == 0:
        raise StateError(f"`inc` must be odd, got {inc}")
    found = {
        "bit_generator": "PCG64",
        "state": {"state": state, "inc": inc},
        "has_uint32": fields.integer("has_uint32", 0, 1),
        "uinteger": fields.integer("uinteger", 0, 2**32 - 1),
    }
    fields.end()
    return found


def copy_generator(rng: np.random.Generator) -> np.random.Generator:
    """Return a generator of the same state, with a lock of its own; takes no lock."""
    bits = type(rng.bit_generator)()
    bits.state = rng.bit_generator.state
    return np.random.Generator(bits)
