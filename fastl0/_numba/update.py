"""A share of the weights: sum up their gradient over the mini-batch, and move them.

For the notation see `layers`, for the part of threads `train_loop`.
"""

from typing import NamedTuple

import numpy as np

from fastl0._numba.elementwise import dot, scatter_, sum_rows
from fastl0._numba.jit import floats, ints, kernel, longs, matrix
from fastl0._numba.matmul import LANES, TILE_ROWS, matmul_
from fastl0._numba.optimizers import ADAM, adam_correction, adam_step_, sgd_step_
from fastl0._numba.single_row import adam_rank_one_
from fastl0._numba.structs import JOB, N_ROWS, PANEL, padded, split_range


class SolverStep(NamedTuple):
    """What a step of the weights takes; the same for all of a mini-batch."""

    solver: int
    rate: np.float32
    decay: np.float32
    beta_1: np.float32
    beta_2: np.float32
    epsilon: np.float32
    momentum: np.float32
    nesterov: bool


@kernel
def step_(weights_, step, place, n, gradient):
    """Let the solver move n parameters from number `place` on."""
    theta, first = floats(weights_.theta + 4 * place, n), floats(weights_.first + 4 * place, n)
    if step.solver == ADAM:
        adam_step_(
            theta, first, floats(weights_.second + 4 * place, n), floats(gradient, n),
            step.rate, step.beta_1, step.beta_2, step.epsilon, step.decay,
        )  # fmt: skip
    else:
        sgd_step_(
            theta, first, floats(gradient, n), step.rate, step.momentum, step.nesterov,
            step.decay,
        )  # fmt: skip


@kernel(part=True)
def note_gate_gradients_(theta, fan_out, active_in, n_in, active_out, n_out, gradient, gates_, g):
    """Note dL/dz of some units from the gradient of their weights; `g` is their set's first gate.

    ``dL/dz_j = <W_j, dL/dW_j> / z_j``: the gate multiplies the whole row j, so no product
    beside the one for the weights is needed.
    """
    rows, columns = ints(active_in, n_in), ints(active_out, n_out)
    values, slopes = (
        floats(gates_.gate_value, gates_.n_gates),
        floats(gates_.gate_slope, gates_.n_gates),
    )
    noted = floats(gates_.gate_gradient, gates_.n_gates)
    for r in range(n_in):
        gate = g + rows[r]
        if slopes[gate] > 0:
            own = floats(gradient + 4 * r * n_out, n_out)
            weights = floats(theta + 4 * rows[r] * fan_out, fan_out)
            if n_out == fan_out:
                product = dot(weights, own)
            else:
                product = np.float32(0.0)
                for c in range(n_out):
                    product += weights[columns[c]] * own[c]
            noted[gate] = product / values[gate]


@kernel(part=True)
def step_rows_(weights_, step, start, fan_out, active_in, n_in, active_out, n_out, gradient, row):
    """Move the weights of the units `active_in`, whose compact gradient is given."""
    rows = ints(active_in, n_in)
    r = 0
    while r < n_in:
        n = 1
        place = start + rows[r] * fan_out
        own = gradient + 4 * r * n_out
        if n_out == fan_out:
            # Neighbours in one go: short rows would waste most of a vector each.
            while r + n < n_in and rows[r + n] == rows[r] + n:
                n += 1
            step_(weights_, step, place, n * fan_out, own)
        else:
            scatter_(floats(own, n_out), ints(active_out, n_out), floats(row, fan_out))
            step_(weights_, step, place, fan_out, row)
        r += n


@kernel
def step_inactive_(weights_, step, start, fan_out, low, high, row):
    """Move the weights of the units from `low` to `high`, whose gradient is zero."""
    gradient = floats(row, fan_out)
    for c in range(fan_out if low < high else 0):
        gradient[c] = np.float32(0.0)
    for j in range(low, high):
        step_(weights_, step, start + j * fan_out, fan_out, row)


@kernel(part=True)
def update_layer_(
    weights_, gates_, batch, step, n_rows, number, size, start, fan_in, fan_out, n_in, n_out,
    active_in, active_out, values, delta, gate_start,
):  # fmt: skip
    """Sum up and apply a member's share of one layer's gradient."""
    row = batch.scratch + 4 * number * batch.n_scratch
    gradient = row + 4 * fan_out
    stride_in, stride_out = padded(n_in), padded(n_out)
    positions = ints(active_in, n_in)
    low, high = (
        split_range(n_in, TILE_ROWS, number, size),
        split_range(n_in, TILE_ROWS, number + 1, size),
    )
    done = 0 if number == 0 else np.int64(positions[low]) if low < n_in else fan_in
    panel = max(TILE_ROWS, PANEL // n_out // TILE_ROWS * TILE_ROWS)
    for c in range(low, high, panel):
        n = min(panel, high - c)
        some = active_in + 4 * c
        matmul_(
            values + 4 * c, 1, stride_in, n, delta, stride_out, 0, n_rows, gradient, n_out, n_out
        )
        if gate_start >= 0:
            note_gate_gradients_(
                weights_.theta + 4 * start, fan_out, some, n, active_out, n_out, gradient,
                gates_, gate_start,
            )  # fmt: skip
        step_rows_(
            weights_, step, start, fan_out, some, n, active_out, n_out, gradient, row
        )  # fmt: skip
        # Rows in between that are not active.
        for k in range(c, c + n):
            step_inactive_(weights_, step, start, fan_out, done, np.int64(positions[k]), row)
            done = np.int64(positions[k]) + 1
    stop = np.int64(positions[high]) if high < n_in else fan_in
    step_inactive_(weights_, step, start, fan_out, done, stop, row)


@kernel
def update_layer_by_row_(
    weights_, gates_, batch, step, number, size, start, fan_in, fan_out, n_in, n_out, active_in,
    active_out, values, delta, gate_start,
):  # fmt: skip
    """Apply a member's share of one layer's gradient, of a mini-batch of one row, by Adam.

    As `update_layer_`, but units that are off are moved in the same run: their activation is 0,
    and so are the derivatives by the units of `active_out` that are not listed.
    """
    row = delta
    if n_out < fan_out:
        row = batch.scratch + 4 * number * batch.n_scratch
        scatter_(floats(delta, n_out), ints(active_out, n_out), floats(row, fan_out))
    gated, n_gates = gate_start >= 0, gates_.n_gates
    gate_values, slopes = floats(gates_.gate_value, n_gates), floats(gates_.gate_slope, n_gates)
    noted = floats(gates_.gate_gradient, n_gates)
    positions, activations = ints(active_in, n_in), floats(values, n_in)
    low, high = split_range(fan_in, 1, number, size), split_range(fan_in, 1, number + 1, size)
    k = 0
    while k < n_in and positions[k] < low:
        k += 1
    for j in range(low, high):
        is_on = k < n_in and positions[k] == j
        activation = activations[k] if is_on else np.float32(0.0)
        place = 4 * (start + j * fan_out)
        product = adam_rank_one_(
            weights_.theta + place, weights_.first + place, weights_.second + place, row,
            fan_out, activation, step.rate, step.beta_1, step.beta_2, step.epsilon, step.decay,
        )  # fmt: skip
        if is_on:
            # dL/dz_j as in `note_gate_gradients_`.
            gate = gate_start + j
            if gated and slopes[gate] > 0:
                noted[gate] = activation * product / gate_values[gate]
            k += 1


@kernel(part=True)
def update_biases_(weights_, batch, step, n_rows, place, fan_out, n_out, active_out, delta, number):
    """Sum up and apply the gradient of one layer's biases."""
    row = batch.scratch + 4 * number * batch.n_scratch
    gradient = row + 4 * fan_out
    sum_rows(matrix(delta, n_rows, padded(n_out)), floats(gradient, n_out))
    if n_out < fan_out:
        scatter_(floats(gradient, n_out), ints(active_out, n_out), floats(row, fan_out))
        gradient = row
    step_(weights_, step, place, fan_out, gradient)


@kernel(part=True)
def make_step(params, t, decay):
    """Numbers of the t-th step."""
    rate = params.rate * adam_correction(params, t) if params.solver == ADAM else params.rate
    return SolverStep(
        params.solver,
        np.float32(rate),
        np.float32(decay), np.float32(params.beta_1), np.float32(params.beta_2),
        np.float32(params.epsilon), np.float32(params.momentum), params.nesterov,
    )  # fmt: skip


@kernel(part=True)
def update_share_(weights_, gates_, batch, params, number, size):
    """Sum up a member's share of the gradients over the mini-batch, and move those weights."""
    n_layers = weights_.n_layers
    widths, n_active = longs(weights_.widths, n_layers + 1), longs(batch.n_active, n_layers + 1)
    gate_start = longs(gates_.gate_start, n_layers)
    n_rows = longs(batch.job, JOB)[N_ROWS]
    t = float(longs(weights_.step, 1)[0] + 1)
    step = make_step(params, t, params.alpha / n_rows)
    bias_step = make_step(params, t, 0.0)
    start, active_in, values, deltas = 0, batch.active, batch.values, batch.deltas
    for layer in range(n_layers):
        fan_in, fan_out = widths[layer], widths[layer + 1]
        n_in, n_out = n_active[layer], n_active[layer + 1]
        active_out = active_in + 4 * fan_in
        next_values = values + 4 * params.batch_size * padded(fan_in)
        delta = deltas if layer < n_layers - 1 else next_values
        deltas += 4 * params.batch_size * padded(fan_out)
        # Narrower rows do not fill a vector: those of a panel, one after the other, do.
        if n_rows == 1 and params.solver == ADAM and fan_out >= LANES:
            update_layer_by_row_(
                weights_, gates_, batch, step, number, size, start, fan_in, fan_out, n_in, n_out,
                active_in, active_out, values, delta, gate_start[layer],
            )  # fmt: skip
        else:
            update_layer_(
                weights_, gates_, batch, step, n_rows, number, size, start, fan_in, fan_out,
                n_in, n_out, active_in, active_out, values, delta, gate_start[layer],
            )  # fmt: skip
        start += fan_in * fan_out
        if number == size - 1:
            update_biases_(
                weights_, batch, bias_step, n_rows, start, fan_out, n_out, active_out, delta,
                number,
            )  # fmt: skip
        start += fan_out
        active_in, values = active_out, next_values
