"""A share of a mini-batch's rows: gathered, all the way forward through the layers, and back.

Notation: a layer l has `fan_in` input units and `fan_out` units; A[l] (batch, fan_in)
holds its gated inputs ``z * h``, W[l] (fan_in, fan_out) its weights, D[l] (batch, fan_out)
the loss's derivative by its pre-activations. In each mini-batch every set of units has a
list of *active* ones. Where enough gates are closed (or columns of X are zero in the whole
mini-batch) the list holds only the open ones, and all products run on the compact block
``W[l][active_in][:, active_out]``; otherwise it holds all units, and closed ones merely
carry a gate of 0. Both are exact: a closed unit's activation and the gradients of its
outgoing weights are zero.

A mini-batch of a single row takes another way (`single_row`): whole rows of the active units'
weights are read, and the active outputs picked from what comes out. Packing would not pay, and
gradients need not be stored.
"""

import numpy as np

from fastl0._numba.activations import activate_, differentiate_
from fastl0._numba.elementwise import gather_, scatter_
from fastl0._numba.jit import doubles, floats, ints, kernel, longs, matrix, read_rows
from fastl0._numba.losses import output_loss_
from fastl0._numba.matmul import TILE_COLUMNS, matmul_
from fastl0._numba.single_row import combine_rows_, dot_rows_
from fastl0._numba.structs import JOB, N_ROWS, padded


@kernel(part=True)
def read_batch_(batch_, x_source, y_source, low, high, number, n_in):
    """Read the rows from `low` to `high` of the mini-batch."""
    stride = padded(n_in)
    rows = batch_.rows + 4 * low
    read_rows(
        x_source, number, rows, high - low, batch_.read_columns, n_in, batch_.active_gate,
        batch_.values + 4 * low * stride, stride, 0,
    )  # fmt: skip
    n_targets = batch_.n_targets
    read_rows(
        y_source, number, rows, high - low, batch_.target_columns, n_targets, 0,
        batch_.targets + 4 * low * n_targets, n_targets, 0,
    )  # fmt: skip


@kernel(part=True)
def panel_stride(n_columns):
    """Entries of a row of a panel of weights: as many columns, or those of a tile."""
    return min(TILE_COLUMNS, padded(n_columns))


@kernel
def pack_columns(block, fan_out, active_in, n_in, active_out, n_out, panel_, stride):
    """Copy ``block[active_in][:, active_out]`` into rows of `stride` entries."""
    rows, columns = ints(active_in, n_in), ints(active_out, n_out)
    for r in range(n_in):
        source = floats(block + 4 * rows[r] * fan_out, fan_out)
        target = floats(panel_ + 4 * r * stride, n_out)
        for c in range(n_out):
            target[c] = source[columns[c]]


@kernel
def pack_transposed(block, fan_out, active_in, n_in, active_out, n_out, panel_, stride):
    """Copy ``block[active_in][:, active_out].T`` into rows of `stride` entries."""
    rows, columns = ints(active_in, n_in), ints(active_out, n_out)
    panel = floats(panel_, n_out * stride)
    for r in range(n_in):
        source = floats(block + 4 * rows[r] * fan_out, fan_out)
        if n_out == fan_out:
            for c in range(n_out):
                panel[c * stride + r] = source[c]
        else:
            for c in range(n_out):
                panel[c * stride + r] = source[columns[c]]


@kernel
def forward_(weights, batch_, params, low, high, number):
    """Compute all activations of some rows up to the outputs, without the outputs' bias."""
    n_layers = weights.n_layers
    widths, n_active = longs(weights.widths, n_layers + 1), longs(batch_.n_active, n_layers + 1)
    n_rows = high - low
    is_single = longs(batch_.job, JOB)[N_ROWS] == 1
    panel = batch_.scratch + 4 * number * batch_.n_scratch
    theta, active = weights.theta, batch_.active
    unit_start = 0
    values = batch_.values
    for layer in range(n_layers):
        fan_in, fan_out = widths[layer], widths[layer + 1]
        n_in, n_out = n_active[layer], n_active[layer + 1]
        stride_in, stride_out = padded(n_in), padded(n_out)
        next_values = values + 4 * params.batch_size * padded(fan_in)
        inputs, outputs = values + 4 * low * stride_in, next_values + 4 * low * stride_out
        unit_start += fan_in
        active_out = batch_.active + 4 * unit_start
        if is_single:
            whole = panel if n_out < fan_out else outputs
            combine_rows_(inputs, theta, fan_out, active, n_in, whole)
            if n_out < fan_out:
                gather_(floats(whole, fan_out), ints(active_out, n_out), floats(outputs, n_out))
        elif n_out < fan_out:
            stride = panel_stride(n_out)
            for c in range(0, n_out, stride):
                n = min(stride, n_out - c)
                pack_columns(theta, fan_out, active, n_in, active_out + 4 * c, n, panel, stride)
                matmul_(
                    inputs, stride_in, 1, n_rows, panel, stride, 0, n_in,
                    outputs + 4 * c, stride_out, n,
                )  # fmt: skip
        else:
            matmul_(
                inputs, stride_in, 1, n_rows, theta, fan_out, active if n_in < fan_in else 0,
                n_in, outputs, stride_out, n_out,
            )  # fmt: skip
        if layer < n_layers - 1:
            activate_(
                params.activation, matrix(outputs, n_rows, stride_out),
                floats(batch_.active_bias + 4 * unit_start, n_out),
                floats(batch_.active_gate + 4 * unit_start, n_out),
            )  # fmt: skip
        theta += 4 * (fan_in + 1) * fan_out
        active, values = active_out, next_values


@kernel
def compute_loss_(weights, batch_, params, low, high):
    """Turn the outputs of some rows into the derivatives of their loss, and note the losses."""
    n_layers = weights.n_layers
    widths = longs(weights.widths, n_layers + 1)
    unit_start, values = 0, batch_.values
    for layer in range(n_layers):
        unit_start += widths[layer]
        values += 4 * params.batch_size * padded(widths[layer])
    n_outputs, n_targets = widths[n_layers], batch_.n_targets
    stride = padded(n_outputs)
    output_loss_(
        params.loss,
        np.float32(params.parameter),
        matrix(values + 4 * low * stride, high - low, stride),
        floats(batch_.active_bias + 4 * unit_start, n_outputs),
        matrix(batch_.targets + 4 * low * n_targets, high - low, n_targets),
        np.float32(1.0) / np.float32(longs(batch_.job, JOB)[N_ROWS]),
        doubles(batch_.losses + 8 * low, high - low),
    )


@kernel
def backward_(weights, batch_, params, low, high, number):
    """Carry the derivatives of some rows from the outputs back to the first layer."""
    n_layers = weights.n_layers
    widths, n_active = longs(weights.widths, n_layers + 1), longs(batch_.n_active, n_layers + 1)
    n_rows = high - low
    is_single = longs(batch_.job, JOB)[N_ROWS] == 1
    panel = batch_.scratch + 4 * number * batch_.n_scratch
    theta, values, deltas, unit_start = weights.theta, batch_.values, batch_.deltas, 0
    for layer in range(n_layers):
        fan_in = widths[layer]
        theta += 4 * (fan_in + 1) * widths[layer + 1]
        values += 4 * params.batch_size * padded(fan_in)
        deltas += 4 * params.batch_size * padded(fan_in) if layer > 0 else 0
        unit_start += fan_in
    delta = values + 4 * low * padded(n_active[n_layers])
    for layer in range(n_layers - 1, 0, -1):
        fan_in, fan_out = widths[layer], widths[layer + 1]
        n_in, n_out = n_active[layer], n_active[layer + 1]
        stride_in, stride_out = padded(n_in), padded(n_out)
        theta -= 4 * (fan_in + 1) * fan_out
        values -= 4 * params.batch_size * padded(fan_in)
        deltas -= 4 * params.batch_size * padded(fan_in)
        active_out = batch_.active + 4 * unit_start
        unit_start -= fan_in
        active_in = batch_.active + 4 * unit_start
        upstream = deltas + 4 * low * stride_in
        if is_single:
            if n_out < fan_out:
                scatter_(floats(delta, n_out), ints(active_out, n_out), floats(panel, fan_out))
                delta = panel
            dot_rows_(delta, theta, fan_out, active_in, n_in, upstream)
        else:
            stride = panel_stride(n_in)
            for c in range(0, n_in, stride):
                n = min(stride, n_in - c)
                pack_transposed(
                    theta, fan_out, active_in + 4 * c, n, active_out, n_out, panel, stride
                )
                matmul_(
                    delta, stride_out, 1, n_rows, panel, stride, 0, n_out,
                    upstream + 4 * c, stride_in, n,
                )  # fmt: skip
        differentiate_(
            params.activation, matrix(values + 4 * low * stride_in, n_rows, stride_in),
            matrix(upstream, n_rows, stride_in),
            floats(batch_.active_gate + 4 * unit_start, n_in),
        )  # fmt: skip
        delta = upstream
