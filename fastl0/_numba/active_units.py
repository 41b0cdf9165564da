"""Which units and columns take part in a mini-batch: open gates, columns that are not all zero."""

import numpy as np

from fastl0._numba.jit import bytes_, entry, floats, ints, kernel, longs, read_rows

#: Compact when at most this share of the inputs / of a hidden layer is active. Measured by
#: benches/sweep.py; above it copying the block costs more than it saves.
COMPACT_INPUTS = np.float32(0.97)
COMPACT_HIDDEN = np.float32(0.80)

#: Mini-batches to go without looking for zero columns after finding hardly any.
_NONZERO_PAUSE = 63


@kernel(part=True)
def find_nonzero_columns_(batch_, x_source, rows, n_rows, number, n_inputs):
    """Mark the columns that hold a non-zero in some rows, in the part of member `number`."""
    read_rows(
        x_source, number, rows, n_rows, batch_.columns, n_inputs, 0, 0, 0,
        batch_.nonzero + number * n_inputs,
    )  # fmt: skip


@kernel(part=True)
def merge_nonzero_columns_(batch_, size, n_inputs):
    """Put the parts of `size` members into the first one, and decide when to look again."""
    nonzero = bytes_(batch_.nonzero, n_inputs)
    for number in range(1, size):
        part = bytes_(batch_.nonzero + number * n_inputs, n_inputs)
        for j in range(n_inputs):
            nonzero[j] |= part[j]
    n_nonzero = 0
    for j in range(n_inputs):
        n_nonzero += nonzero[j]
    if n_nonzero > COMPACT_INPUTS * n_inputs:
        longs(batch_.nonzero_pause, 1)[0] = _NONZERO_PAUSE


@kernel(part=True)
def list_active_(active_, width, gates, gated, nonzero, use_nonzero, limit):
    """List the active units of one set; return how many there are (at least one)."""
    n = 0
    for j in range(width):
        is_open = not gated or gates[j] > 0
        active_[n] = j
        n += is_open and (not use_nonzero or nonzero[j] != 0)
    if n > limit * width:
        n = width
        for j in range(width):
            active_[j] = j
    elif n == 0:
        active_[0] = 0
        n = 1
    return n


@kernel
def list_units_(weights, gates, batch_, use_nonzero, compact_inputs, compact_hidden):
    """List the active units of all sets, their gates and biases, and the columns to read.

    Where more than the share `compact_inputs` or `compact_hidden` of a set is active, the
    whole set is listed.
    """
    n_layers = weights.n_layers
    widths, n_active = longs(weights.widths, n_layers + 1), longs(batch_.n_active, n_layers + 1)
    gate_start = longs(gates.gate_start, n_layers)
    nonzero = bytes_(batch_.nonzero, widths[0])
    start = 0
    unit_start = 0
    for layer in range(n_layers + 1):
        width = widths[layer]
        active = ints(entry(batch_.active, unit_start), width)
        active_gate = floats(entry(batch_.active_gate, unit_start), width)
        gated = layer < n_layers and gate_start[layer] >= 0
        value = floats(entry(gates.gate_value, gate_start[layer] if gated else 0), width)
        n = list_active_(
            active, width, value, gated, nonzero, use_nonzero and layer == 0,
            compact_inputs if layer == 0 else compact_hidden,
        )  # fmt: skip
        n_active[layer] = n
        for c in range(n):
            active_gate[c] = value[active[c]] if gated else np.float32(1.0)
        if layer == 0:
            columns, read_columns = ints(batch_.columns, width), ints(batch_.read_columns, width)
            for c in range(n):
                read_columns[c] = columns[active[c]]
        else:
            start += widths[layer - 1] * width
            bias = floats(entry(weights.theta, start), width)
            active_bias = floats(entry(batch_.active_bias, unit_start), width)
            for c in range(n):
                active_bias[c] = bias[active[c]]
            start += width
        unit_start += width
