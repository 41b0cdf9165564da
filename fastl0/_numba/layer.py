"""A layer in a mini-batch: where its numbers lie, and shares of work."""

from typing import NamedTuple

from fastl0._numba.jit import entry, kernel, longs
from fastl0.kernel_api import tiles


class Layer(NamedTuple):
    """A layer in a mini-batch: its sizes, and the addresses of its units and activations.

    Notation as in `layers`; "in" are the units that enter the layer, "out" those that it computes.
    """

    number: int  # counts from 0
    start: int  # number of its first weight in the flat buffers
    fan_in: int
    fan_out: int
    n_in: int  # active units
    n_out: int
    stride_in: int  # entries from row to row of `inputs` and `upstream`
    stride_out: int  # of `outputs` and `delta`
    active_in: int  # address: int32 (n_in,), positions of the active units
    active_out: int  # address: int32 (n_out,)
    gate_in: int  # address: float32 (n_in,)
    gate_out: int  # address: float32 (n_out,)
    bias_out: int  # address: float32 (n_out,)
    inputs: int  # address of A[l]
    outputs: int  # address of A[l + 1]; of the last layer, D[l]
    upstream: int  # address of D[l - 1]; of the first layer, none
    delta: int  # address of D[l]


#: `tiles.padded` for kernels.
padded = kernel(part=True)(tiles.padded)


@kernel
def locate_layer(weights, batch, params, number):
    """Sizes and addresses of layer `number`, once the active units are listed."""
    widths = longs(weights.widths, weights.n_layers + 1)
    n_active = longs(batch.n_active, weights.n_layers + 1)
    start, unit, value = 0, 0, 0
    for k in range(number):
        start += (widths[k] + 1) * widths[k + 1]
        unit += widths[k]
        value += params.batch_size * padded(widths[k])
    fan_in, fan_out = widths[number], widths[number + 1]
    n_in, n_out = n_active[number], n_active[number + 1]
    next_unit, next_value = unit + fan_in, value + params.batch_size * padded(fan_in)
    # Derivatives lie as activations do, without those by the inputs, A[0].
    n_before = params.batch_size * padded(widths[0])
    outputs = entry(batch.values, next_value)
    is_last = number == weights.n_layers - 1
    return Layer(
        number, start, fan_in, fan_out, n_in, n_out, padded(n_in), padded(n_out),
        entry(batch.active, unit), entry(batch.active, next_unit),
        entry(batch.active_gate, unit), entry(batch.active_gate, next_unit),
        entry(batch.active_bias, next_unit),
        entry(batch.values, value), outputs, entry(batch.deltas, value - n_before),
        outputs if is_last else entry(batch.deltas, next_value - n_before),
    )  # fmt: skip


@kernel(part=True)
def split_range(n, unit, number, size):
    """Begin and end of part `number` of `size` parts of ``range(n)``.

    All parts are made of whole units but for the last.
    """
    n_units = (n + unit - 1) // unit
    # Rounded up: what is uneven goes to the leader, who then need not wait for a helper.
    low = min(n, (n_units * number + size - 1) // size * unit)
    high = min(n, (n_units * (number + 1) + size - 1) // size * unit)
    return low, high
