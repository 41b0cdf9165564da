"""The mini-batch through the layers: rows gathered, all the way forward, the loss, and back.

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

Each member of a team does this for its share of the rows, from `low` to `high`.
"""

import numpy as np

from fastl0._numba.activations import activate_, differentiate_
from fastl0._numba.elementwise import gather_, scatter_
from fastl0._numba.jit import doubles, entry, floats, ints, kernel, longs, matrix, read_rows
from fastl0._numba.layer import locate_layer, padded
from fastl0._numba.losses import output_loss_
from fastl0._numba.matmul import TILE_COLUMNS, matmul_
from fastl0._numba.single_row import combine_rows_, dot_rows_
from fastl0.kernel_api.structs import JOB, N_ROWS


@kernel(part=True)
def read_batch_(batch_, x_source, y_source, low, high, number, n_in):
    """Read the rows from `low` to `high` of the mini-batch: `n_in` columns, and the targets."""
    stride = padded(n_in)
    rows = entry(batch_.rows, low)
    read_rows(
        x_source, number, rows, high - low, batch_.read_columns, n_in, batch_.active_gate,
        entry(batch_.values, low * stride), stride, 0,
    )  # fmt: skip
    n_targets = batch_.n_targets
    read_rows(
        y_source, number, rows, high - low, batch_.target_columns, n_targets, 0,
        entry(batch_.targets, low * n_targets), n_targets, 0,
    )  # fmt: skip


@kernel(part=True)
def panel_stride(n_columns):
    """Entries of a row of a panel of weights: as many columns, or those of a tile."""
    return min(TILE_COLUMNS, padded(n_columns))


@kernel
def pack_columns(weights, layer, first, n, panel_, stride):
    """Copy the weights between all active inputs and `n` active outputs from `first` on.

    ``W[active_in][:, active_out[first : first + n]]``, in rows of `stride` entries.
    """
    rows, columns = ints(layer.active_in, layer.n_in), ints(entry(layer.active_out, first), n)
    block = entry(weights.theta, layer.start)
    for r in range(layer.n_in):
        source = floats(entry(block, rows[r] * layer.fan_out), layer.fan_out)
        target = floats(entry(panel_, r * stride), n)
        for c in range(n):
            target[c] = source[columns[c]]


@kernel
def pack_transposed(weights, layer, first, n, panel_, stride):
    """Copy the weights between `n` active inputs from `first` on and all active outputs.

    ``W[active_in[first : first + n]][:, active_out].T``, in rows of `stride` entries.
    """
    rows, columns = ints(entry(layer.active_in, first), n), ints(layer.active_out, layer.n_out)
    block = entry(weights.theta, layer.start)
    panel = floats(panel_, layer.n_out * stride)
    for r in range(n):
        source = floats(entry(block, rows[r] * layer.fan_out), layer.fan_out)
        if layer.n_out == layer.fan_out:
            for c in range(layer.n_out):
                panel[c * stride + r] = source[c]
        else:
            for c in range(layer.n_out):
                panel[c * stride + r] = source[columns[c]]


@kernel
def forward_(weights, batch_, params, low, high, number):
    """Compute all activations of some rows up to the outputs, without the outputs' bias."""
    n_rows = high - low
    is_single = longs(batch_.job, JOB)[N_ROWS] == 1
    panel = entry(batch_.scratch, number * batch_.n_scratch)
    for k in range(weights.n_layers):
        layer = locate_layer(weights, batch_, params, k)
        n_in, n_out, fan_out = layer.n_in, layer.n_out, layer.fan_out
        inputs = entry(layer.inputs, low * layer.stride_in)
        outputs = entry(layer.outputs, low * layer.stride_out)
        block = entry(weights.theta, layer.start)
        if is_single:
            whole = panel if n_out < fan_out else outputs
            combine_rows_(inputs, block, fan_out, layer.active_in, n_in, whole)
            if n_out < fan_out:
                places = ints(layer.active_out, n_out)
                gather_(floats(whole, fan_out), places, floats(outputs, n_out))
        elif n_out < fan_out:
            stride = panel_stride(n_out)
            for c in range(0, n_out, stride):
                n = min(stride, n_out - c)
                pack_columns(weights, layer, c, n, panel, stride)
                matmul_(
                    inputs, layer.stride_in, 1, n_rows, panel, stride, 0, n_in,
                    entry(outputs, c), layer.stride_out, n,
                )  # fmt: skip
        else:
            matmul_(
                inputs, layer.stride_in, 1, n_rows, block, fan_out,
                layer.active_in if n_in < layer.fan_in else 0, n_in,
                outputs, layer.stride_out, n_out,
            )  # fmt: skip
        if k < weights.n_layers - 1:
            activate_(
                params.activation, matrix(outputs, n_rows, layer.stride_out),
                floats(layer.bias_out, n_out), floats(layer.gate_out, n_out),
            )  # fmt: skip


@kernel
def compute_loss_(weights, batch_, params, low, high):
    """Turn the outputs of some rows into the derivatives of their loss, and note the losses."""
    layer = locate_layer(weights, batch_, params, weights.n_layers - 1)
    n_rows, n_targets = high - low, batch_.n_targets
    output_loss_(
        params.loss,
        np.float32(params.parameter),
        matrix(entry(layer.outputs, low * layer.stride_out), n_rows, layer.stride_out),
        floats(layer.bias_out, layer.n_out),
        matrix(entry(batch_.targets, low * n_targets), n_rows, n_targets),
        np.float32(1.0) / np.float32(longs(batch_.job, JOB)[N_ROWS]),
        doubles(batch_.losses, high)[low:],
    )


@kernel
def backward_(weights, batch_, params, low, high, number):
    """Carry the derivatives of some rows from the outputs back to the first layer."""
    n_rows = high - low
    is_single = longs(batch_.job, JOB)[N_ROWS] == 1
    panel = entry(batch_.scratch, number * batch_.n_scratch)
    for k in range(weights.n_layers - 1, 0, -1):
        layer = locate_layer(weights, batch_, params, k)
        n_in, n_out, fan_out = layer.n_in, layer.n_out, layer.fan_out
        delta = entry(layer.delta, low * layer.stride_out)
        upstream = entry(layer.upstream, low * layer.stride_in)
        if is_single:
            if n_out < fan_out:
                places = ints(layer.active_out, n_out)
                scatter_(floats(delta, n_out), places, floats(panel, fan_out))
                delta = panel
            block = entry(weights.theta, layer.start)
            dot_rows_(delta, block, fan_out, layer.active_in, n_in, upstream)
        else:
            stride = panel_stride(n_in)
            for c in range(0, n_in, stride):
                n = min(stride, n_in - c)
                pack_transposed(weights, layer, c, n, panel, stride)
                matmul_(
                    delta, layer.stride_out, 1, n_rows, panel, stride, 0, n_out,
                    entry(upstream, c), layer.stride_in, n,
                )  # fmt: skip
        inputs = entry(layer.inputs, low * layer.stride_in)
        differentiate_(
            params.activation, matrix(inputs, n_rows, layer.stride_in),
            matrix(upstream, n_rows, layer.stride_in), floats(layer.gate_in, n_in),
        )  # fmt: skip
