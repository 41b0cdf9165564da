"""What kernels get: pointers into the training buffers, numbers of a step, a layer, a share.

The memory is that of `training.buffers`.
"""

from typing import NamedTuple

from fastl0._numba import matmul
from fastl0._numba.jit import entry, kernel, longs

#: What `BatchPointers.job` tells the members of a team: rows of this mini-batch and of the next
#: one, the place of the next one's first row in the epoch, and whether to look for zero columns.
N_ROWS, N_NEXT, NEXT_START, LOOK_FOR_NONZERO = range(4)
JOB = 4

#: Entries of the gradient that are summed up before they are applied, or eight rows if that is
#: more: they stay in the nearest cache, and small layers are done in few turns.
PANEL = 4096


class ParamPointers(NamedTuple):
    """Addresses of flat float32 buffers in one layout: per layer weights, then biases.

    Weights of a layer are (fan_in, fan_out) in C order.
    """

    theta: int
    first: int  # Adam's first moment, or SGD's velocity
    second: int  # Adam's second moment; empty for SGD
    widths: int  # int64 (n_layers + 1,)
    step: int  # int64 (1,): updates done so far
    n_layers: int  # (not an address)


class GatePointers(NamedTuple):
    """Addresses; one entry per input and hidden unit, inputs first; float32 unless said."""

    log_odds: int
    gate_first: int
    gate_second: int
    l0_gradient: int  # derivative of the penalty by the unit's on-probability
    gate_value: int
    gate_slope: int
    on_probability: int
    gate_gradient: int  # dL/dz, then dL/da
    on_count: int  # int64: draws of this epoch with an open gate
    on_sum: int  # float64: sum of the closed-form on-probability over the epoch
    gate_start: int  # int64 (n_layers,): first gate of each set of units, -1 for none
    n_gates: int  # (not an address)


class BatchPointers(NamedTuple):
    """Addresses: the mini-batch, its activations and the lists of active units.

    Rows of A and D are padded to whole vectors of any machine; so are the ends of what is read
    beside them.
    """

    columns: int  # int32 (n_inputs,): the columns of X that are still read
    read_columns: int  # int32 (n_inputs,): those read for this mini-batch
    prefetch_columns: int  # int32 (n_inputs,): columns to fetch ahead, one from each cache line
    n_prefetch_columns: int  # int64 (1,): how many
    nonzero: int  # uint8 (n_threads, n_inputs): column holds a non-zero in a thread's rows
    nonzero_pause: int  # int64 (1,): mini-batches left without looking
    active: int  # int32 (sum(widths),): positions of the active units
    n_active: int  # int64 (n_layers + 1,): how many in each set
    active_gate: int  # float32 (sum(widths),): their gates
    active_bias: int  # float32 (sum(widths),): their biases, none for the inputs
    values: int  # float32 (batch * sum(padded widths),): A[0], A[1], ..., D[last]
    deltas: int  # float32 (batch * sum(padded hidden widths),): D[0], D[1], ...
    targets: int  # float32 (batch, n_targets)
    target_columns: int  # int32 (n_targets,): 0, 1, ...
    losses: int  # float64 (batch,): of each row
    rows: int  # int32 (2, batch): row numbers of this mini-batch and of the next
    job: int  # int64 (JOB,): see `N_ROWS`
    scratch: int  # float32 (n_threads, n): a block of weights, rows of a gradient, or a spread row
    n_scratch: int  # (not an address) entries of one thread's scratch
    n_targets: int  # (not an address)


class StepParams(NamedTuple):
    """Numbers of an update; the same for a whole call."""

    batch_size: int
    activation: int
    loss: int
    parameter: float  # of the loss, see `losses.output_loss_`
    solver: int
    rate: float
    gate_rate: float
    momentum: float
    nesterov: bool
    beta_1: float
    beta_2: float
    epsilon: float
    alpha: float
    lam: float  # strength per unit of price: lam / n_samples
    held_open: bool  # all gates are 1, and only their derivatives are noted


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


#: `matmul.padded` for kernels.
padded = kernel(part=True)(matmul.padded)


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
