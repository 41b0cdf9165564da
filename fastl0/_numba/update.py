"""The update of the weights: sum up their gradient over the mini-batch, and move them.

Each member of a team does so for its share of every layer's weights. For the notation see
`layers`, for the part of threads `train_loop`.
"""

import numpy as np

from fastl0._numba.elementwise import gather_, scatter_, sum_rows
from fastl0._numba.jit import dot, entry, floats, ints, kernel, longs, matrix
from fastl0._numba.layer import locate_layer, split_range
from fastl0._numba.matmul import TILE_ROWS, matmul_
from fastl0._numba.optimizers import make_step, step_
from fastl0._numba.single_row import adam_rank_one_
from fastl0.kernel_api.codes import ADAM
from fastl0.kernel_api.structs import JOB, N_ROWS, PANEL
from fastl0.kernel_api.tiles import MAX_LANES


@kernel(part=True)
def note_gate_gradients_(weights, gates_, layer, first_gate, active, n, gradient, row_):
    """Note dL/dz of the `n` units in the list `active` from the gradient of their weights.

    ``dL/dz_j = <W_j, dL/dW_j> / z_j``: the gate multiplies the whole row j, so no product
    beside the one for the weights is needed. `row_`, of fan_out entries, is overwritten.
    """
    n_out, fan_out, n_gates = layer.n_out, layer.fan_out, gates_.n_gates
    rows, columns = ints(active, n), ints(layer.active_out, n_out)
    values, slopes = floats(gates_.gate_value, n_gates), floats(gates_.gate_slope, n_gates)
    noted = floats(gates_.gate_gradient, n_gates)
    block = entry(weights.theta, layer.start)
    for r in range(n):
        gate = first_gate + rows[r]
        if slopes[gate] > 0:
            row = entry(block, rows[r] * fan_out)
            if n_out < fan_out:
                gather_(floats(row, fan_out), columns, floats(row_, n_out))
                row = row_
            noted[gate] = dot(row, entry(gradient, r * n_out), n_out) / values[gate]


@kernel(part=True)
def step_rows_(weights_, step, layer, active, n, gradient, row):
    """Move the weights of the `n` units in the list `active`, whose compact gradient is given."""
    n_out, fan_out = layer.n_out, layer.fan_out
    rows = ints(active, n)
    r = 0
    while r < n:
        n_adjacent = 1
        place = layer.start + rows[r] * fan_out
        own = entry(gradient, r * n_out)
        if n_out == fan_out:
            # Neighbours in one go: short rows would waste most of a vector each.
            while r + n_adjacent < n and rows[r + n_adjacent] == rows[r] + n_adjacent:
                n_adjacent += 1
            step_(weights_, step, place, n_adjacent * fan_out, own)
        else:
            scatter_(floats(own, n_out), ints(layer.active_out, n_out), floats(row, fan_out))
            step_(weights_, step, place, fan_out, row)
        r += n_adjacent


@kernel
def step_inactive_(weights_, step, layer, low, high, row):
    """Move the weights of the units from `low` to `high`, whose gradient is zero."""
    fan_out = layer.fan_out
    gradient = floats(row, fan_out)
    for c in range(fan_out if low < high else 0):
        gradient[c] = np.float32(0.0)
    for j in range(low, high):
        step_(weights_, step, layer.start + j * fan_out, fan_out, row)


@kernel(part=True)
def update_layer_(weights_, gates_, batch, step, layer, n_rows, number, size):
    """Sum up and apply a member's share of one layer's gradient."""
    n_in, n_out, fan_in = layer.n_in, layer.n_out, layer.fan_in
    row = entry(batch.scratch, number * batch.n_scratch)
    gradient = entry(row, layer.fan_out)
    positions = ints(layer.active_in, n_in)
    first_gate = longs(gates_.gate_start, weights_.n_layers)[layer.number]
    low, high = split_range(n_in, TILE_ROWS, number, size)
    done = 0 if number == 0 else np.int64(positions[low]) if low < n_in else fan_in
    panel = max(TILE_ROWS, PANEL // n_out // TILE_ROWS * TILE_ROWS)
    for c in range(low, high, panel):
        n = min(panel, high - c)
        active = entry(layer.active_in, c)
        matmul_(
            entry(layer.inputs, c), 1, layer.stride_in, n, layer.delta, layer.stride_out, 0, n_rows,
            gradient, n_out, n_out,
        )  # fmt: skip
        if first_gate >= 0:
            note_gate_gradients_(weights_, gates_, layer, first_gate, active, n, gradient, row)
        step_rows_(weights_, step, layer, active, n, gradient, row)
        # Rows in between that are not active.
        for k in range(c, c + n):
            step_inactive_(weights_, step, layer, done, np.int64(positions[k]), row)
            done = np.int64(positions[k]) + 1
    stop = np.int64(positions[high]) if high < n_in else fan_in
    step_inactive_(weights_, step, layer, done, stop, row)


@kernel
def update_layer_by_row_(weights_, gates_, batch, step, layer, number, size):
    """Apply a member's share of one layer's gradient, of a mini-batch of one row, by Adam.

    As `update_layer_`, but units that are off are moved in the same run: their activation is 0,
    and so are the derivatives by the units of `active_out` that are not listed.
    """
    n_in, n_out, fan_out = layer.n_in, layer.n_out, layer.fan_out
    row = layer.delta
    if n_out < fan_out:
        row = entry(batch.scratch, number * batch.n_scratch)
        places = ints(layer.active_out, n_out)
        scatter_(floats(layer.delta, n_out), places, floats(row, fan_out))
    n_gates = gates_.n_gates
    gate_values, slopes = floats(gates_.gate_value, n_gates), floats(gates_.gate_slope, n_gates)
    noted = floats(gates_.gate_gradient, n_gates)
    first_gate = longs(gates_.gate_start, weights_.n_layers)[layer.number]
    positions, activations = ints(layer.active_in, n_in), floats(layer.inputs, n_in)
    low, high = split_range(layer.fan_in, 1, number, size)
    k = 0
    while k < n_in and positions[k] < low:
        k += 1
    for j in range(low, high):
        is_on = k < n_in and positions[k] == j
        activation = activations[k] if is_on else np.float32(0.0)
        place = layer.start + j * fan_out
        product = adam_rank_one_(
            entry(weights_.theta, place), entry(weights_.first, place),
            entry(weights_.second, place), row, fan_out, activation,
            step.rate, step.beta_1, step.beta_2, step.epsilon, step.decay,
        )  # fmt: skip
        if is_on:
            # dL/dz_j as in `note_gate_gradients_`.
            gate = first_gate + j
            if first_gate >= 0 and slopes[gate] > 0:
                noted[gate] = activation * product / gate_values[gate]
            k += 1


@kernel(part=True)
def update_biases_(weights_, batch, step, layer, n_rows, number):
    """Sum up and apply the gradient of one layer's biases."""
    n_out, fan_out = layer.n_out, layer.fan_out
    row = entry(batch.scratch, number * batch.n_scratch)
    gradient = entry(row, fan_out)
    sum_rows(matrix(layer.delta, n_rows, layer.stride_out), floats(gradient, n_out))
    if n_out < fan_out:
        scatter_(floats(gradient, n_out), ints(layer.active_out, n_out), floats(row, fan_out))
        gradient = row
    step_(weights_, step, layer.start + layer.fan_in * fan_out, fan_out, gradient)


@kernel(part=True)
def update_share_(weights_, gates_, batch, params, number, size):
    """Sum up a member's share of the gradients over the mini-batch, and move those weights."""
    n_rows = longs(batch.job, JOB)[N_ROWS]
    t = longs(weights_.step, 1)[0] + 1
    step = make_step(params, t, params.alpha / n_rows)
    bias_step = make_step(params, t, 0.0)
    for k in range(weights_.n_layers):
        layer = locate_layer(weights_, batch, params, k)
        # Narrower rows do not fill a vector: those of a panel, one after the other, do.
        if n_rows == 1 and params.solver == ADAM and layer.fan_out >= MAX_LANES:
            update_layer_by_row_(weights_, gates_, batch, step, layer, number, size)
        else:
            update_layer_(weights_, gates_, batch, step, layer, n_rows, number, size)
        if number == size - 1:
            update_biases_(weights_, batch, bias_step, layer, n_rows, number)
