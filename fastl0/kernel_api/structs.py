"""What kernels get: addresses of the training buffers, and the numbers of a step.

The memory is that of `training.buffers`.
"""

from typing import NamedTuple

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
    """Numbers of an update; the same for a whole call. First those of type int."""

    batch_size: int
    activation: int  # see `codes`
    loss: int
    solver: int
    nesterov: int  # 0 or 1
    held_open: int  # 1: all gates are 1, and only their derivatives are noted
    parameter: float  # of the loss, see `_numba.losses.output_loss_`
    rate: float
    gate_rate: float
    momentum: float
    beta_1: float
    beta_2: float
    epsilon: float
    alpha: float
    lam: float  # strength per unit of price: lam / n_samples


#: How many fields of `StepParams` are of type int.
N_STEP_INTS = 6
