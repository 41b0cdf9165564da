"""The compiled mini-batch loop: sample gates, gather, forward, backward, update.

Works on views that `memory.Buffers` lends for one call and owns nothing. May import
`kernels` and `jit`.

Notation: a layer l has `fan_in` input units and `fan_out` units; A[l] (batch, fan_in)
holds its gated inputs ``z * h``, W[l] (fan_in, fan_out) its weights. In each mini-batch
every set of units has a list of *active* ones. Where enough gates are closed (or columns
of X are zero in the whole mini-batch) the list holds only the open ones, and all products
run on the compact block ``W[l][active_in][:, active_out]``; otherwise it holds all units,
and closed ones merely carry a gate of 0. Both are exact: a closed unit's activation and
the gradients of its outgoing weights are zero.
"""

from typing import NamedTuple

import numpy as np

from fastl0.jit import flush_begin, flush_end, gemm, kernel, read_rows
from fastl0.kernels import (
    ADAM,
    activate_,
    adam_step_,
    clamp_,
    differentiate_,
    dot,
    output_loss_,
    sample_gates,
    sgd_step_,
    sum_rows,
)

#: Compact when at most this share of the inputs / of a hidden layer is active. Measured by
#: benches/sweep.py; above it copying the block costs more than it saves.
COMPACT_INPUTS = np.float32(0.90)
COMPACT_HIDDEN = np.float32(0.75)

#: Mini-batches to go without looking for zero columns after finding hardly any.
_LIT_PAUSE = 63


class Weights(NamedTuple):
    """Flat float32 buffers in one layout: per layer weights (C order), then biases."""

    theta: np.ndarray
    first: np.ndarray  # Adam's first moment, or SGD's velocity
    second: np.ndarray  # Adam's second moment; empty for SGD
    work: np.ndarray  # per layer: the compact weights going forward, then the gradient
    widths: np.ndarray  # int64 (n_layers + 1,)
    step: np.ndarray  # int64 (1,): updates done so far


class Gates(NamedTuple):
    """One entry per input and hidden unit, inputs first; float32 unless said otherwise."""

    log_odds: np.ndarray
    first: np.ndarray
    second: np.ndarray
    price: np.ndarray  # derivative of the penalty by the unit's on-probability
    value: np.ndarray
    slope: np.ndarray
    on_probability: np.ndarray
    gradient: np.ndarray  # dL/dz, then dL/da
    on_count: np.ndarray  # int64: draws of this epoch with an open gate
    on_sum: np.ndarray  # float64: sum of the closed-form on-probability over the epoch
    start: np.ndarray  # int64 (n_layers,): first gate of each set of units, -1 for none


class Batch(NamedTuple):
    """The mini-batch, its activations and the lists of active units."""

    columns: np.ndarray  # int32 (n_inputs,): the columns of X that are still read
    wanted: np.ndarray  # int32 (n_inputs,): those read for this mini-batch
    lit: np.ndarray  # uint8 (n_inputs,): holds a non-zero in this mini-batch
    lit_pause: np.ndarray  # int64 (1,): mini-batches left without looking
    active: np.ndarray  # int32 (sum(widths),): positions of the active units
    active_gate: np.ndarray  # float32 (sum(widths),): their gates
    bias: np.ndarray  # float32 (max width,): biases of the active units
    row: np.ndarray  # float32 (max width,): one gradient row at full width
    values: np.ndarray  # float32 (batch * sum(widths),): A[0], A[1], ..., outputs
    upstream: np.ndarray  # float32 (batch * max hidden width,): dL/dA
    targets: np.ndarray  # float32 (batch, n_targets)


class Rule(NamedTuple):
    """Numbers that steer an update; the same for a whole call."""

    batch_size: int
    activation: int
    loss: int
    solver: int
    rate: float
    gate_rate: float
    momentum: float
    nesterov: bool
    beta_1: float
    beta_2: float
    epsilon: float
    alpha: float
    lam: float  # strength per unit of penalty: lam / n_samples


@kernel
def list_active_(batch_, gates, unit_start, gate_start, width, use_lit, limit):
    """List the active units of one set; return how many there are (at least one)."""
    active = batch_.active[unit_start : unit_start + width]
    gated = gate_start >= 0
    n = 0
    for j in range(width):
        is_open = not gated or gates.value[gate_start + j] > 0
        if is_open and (not use_lit or batch_.lit[j] != 0):
            active[n] = j
            n += 1
    if n > limit * width:
        n = width
        for j in range(width):
            active[j] = j
    elif n == 0:
        active[0] = 0
        n = 1
    for c in range(n):
        gate = gates.value[gate_start + active[c]] if gated else np.float32(1.0)
        batch_.active_gate[unit_start + c] = gate
    return n


@kernel
def look_for_lit_(batch_, x_source, rows, n_inputs):
    """Mark the columns that hold a non-zero, unless nearly all did of late."""
    if batch_.lit_pause[0] > 0:
        batch_.lit_pause[0] -= 1
        return False
    read_rows(
        x_source, rows.ctypes.data, len(rows), batch_.columns.ctypes.data, n_inputs,
        0, 0, batch_.lit.ctypes.data,
    )  # fmt: skip
    n_lit = 0
    for j in range(n_inputs):
        n_lit += batch_.lit[j]
    if n_lit > COMPACT_INPUTS * n_inputs:
        batch_.lit_pause[0] = _LIT_PAUSE
    return True


@kernel
def pack_block(weights, fan_out, active_in, active_out, out_):
    """Copy ``weights[active_in][:, active_out]`` into the front of `out_`, row-major."""
    n_out = len(active_out)
    for r in range(len(active_in)):
        source = weights[active_in[r] * fan_out : (active_in[r] + 1) * fan_out]
        target = out_[r * n_out : (r + 1) * n_out]
        if n_out == fan_out:
            for c in range(n_out):
                target[c] = source[c]
        else:
            for c in range(n_out):
                target[c] = source[active_out[c]]


@kernel
def spread_row(compact, active, out_):
    """Overwrite `out_` with zeros and the entries of `compact` at places `active`."""
    out_[:] = np.float32(0.0)
    for c in range(len(active)):
        out_[active[c]] = compact[c]


@kernel
def step_(weights_, start, stop, gradient, rule, rate, decay):
    """Let the solver move the parameters ``theta[start:stop]`` along `gradient`."""
    theta = weights_.theta[start:stop]
    first = weights_.first[start:stop]
    if rule.solver == ADAM:
        adam_step_(
            theta, first, weights_.second[start:stop], gradient, rate,
            np.float32(rule.beta_1), np.float32(rule.beta_2), np.float32(rule.epsilon),
            decay,
        )  # fmt: skip
    else:
        sgd_step_(
            theta, first, gradient, rate, np.float32(rule.momentum), rule.nesterov, decay
        )  # fmt: skip


@kernel
def update_layer_(
    weights_, gates_, batch_, rule, rate, decay, layer, start, unit_start, n_in, n_out
):  # fmt: skip
    """Turn the compact gradient of one layer into a step, and note dL/dz of its inputs.

    ``dL/dz_j = <W_j, dL/dW_j> / z_j``: the gate multiplies the whole row j, so no product
    beside the one for the weights is needed.
    """
    fan_in, fan_out = weights_.widths[layer], weights_.widths[layer + 1]
    size = fan_in * fan_out
    active_in = batch_.active[unit_start : unit_start + n_in]
    active_out = batch_.active[unit_start + fan_in : unit_start + fan_in + n_out]
    compact = weights_.work[start : start + n_in * n_out]
    row = batch_.row[:fan_out]
    whole = n_in == fan_in and n_out == fan_out
    gate_start = gates_.start[layer]
    if gate_start >= 0:
        for r in range(n_in):
            j = active_in[r]
            gate = gate_start + j
            if gates_.slope[gate] > 0:
                gradient = compact[r * n_out : (r + 1) * n_out]
                theta = weights_.theta[start + j * fan_out : start + (j + 1) * fan_out]
                if n_out == fan_out:
                    product = dot(theta, gradient)
                else:
                    product = np.float32(0.0)
                    for c in range(n_out):
                        product += theta[active_out[c]] * gradient[c]
                gates_.gradient[gate] = product / gates_.value[gate]
    if whole:
        step_(weights_, start, start + size, compact, rule, rate, decay)
    else:
        r = 0
        for j in range(fan_in):
            low = start + j * fan_out
            if r < n_in and active_in[r] == j:
                gradient = compact[r * n_out : (r + 1) * n_out]
                r += 1
                if n_out == fan_out:
                    step_(weights_, low, low + fan_out, gradient, rule, rate, decay)
                else:
                    spread_row(gradient, active_out, row)
                    step_(weights_, low, low + fan_out, row, rule, rate, decay)
            else:
                row[:] = np.float32(0.0)
                step_(weights_, low, low + fan_out, row, rule, rate, decay)
    bias_gradient = weights_.work[start + size : start + size + n_out]
    no_decay = np.float32(0.0)
    if n_out == fan_out:
        step_(weights_, start + size, start + size + fan_out, bias_gradient, rule, rate, no_decay)
    else:
        spread_row(bias_gradient, active_out, row)
        step_(weights_, start + size, start + size + fan_out, row, rule, rate, no_decay)


@kernel
def update_gates_(gates_, rule, rate):
    """Add the penalty's derivative and take one Adam step on the log-odds."""
    for j in range(len(gates_.log_odds)):
        pi = gates_.on_probability[j]
        penalty = np.float32(rule.lam) * gates_.price[j] * pi * (np.float32(1.0) - pi)
        gates_.gradient[j] = gates_.gradient[j] * gates_.slope[j] + penalty
    adam_step_(
        gates_.log_odds, gates_.first, gates_.second, gates_.gradient, np.float32(rate),
        np.float32(rule.beta_1), np.float32(rule.beta_2), np.float32(rule.epsilon),
        np.float32(0.0),
    )  # fmt: skip
    clamp_(gates_.log_odds)


@kernel
def draw_gates_(gates_, uniforms):
    """Sample all gates of one mini-batch and tally them; return the penalty."""
    sample_gates(uniforms, gates_.log_odds, gates_.value, gates_.slope, gates_.on_probability)
    penalty = 0.0
    for j in range(len(gates_.log_odds)):
        gates_.on_count[j] += gates_.value[j] > 0
        gates_.on_sum[j] += gates_.on_probability[j]
        penalty += gates_.on_probability[j] * gates_.price[j]
        gates_.gradient[j] = np.float32(0.0)
    return penalty


@kernel
def forward_(weights, batch_, rule, n_rows, n_active):
    """Compute all activations of the mini-batch up to the outputs, without their bias."""
    n_layers = len(weights.widths) - 1
    start = 0
    unit_start = 0
    for layer in range(n_layers):
        fan_in, fan_out = weights.widths[layer], weights.widths[layer + 1]
        size = fan_in * fan_out
        n_in, n_out = n_active[layer], n_active[layer + 1]
        next_start = unit_start + fan_in
        block = weights.theta[start : start + size]
        if n_in < fan_in or n_out < fan_out:
            block = weights.work[start : start + size]
            pack_block(
                weights.theta[start : start + size], fan_out,
                batch_.active[unit_start : unit_start + n_in],
                batch_.active[next_start : next_start + n_out], block,
            )  # fmt: skip
        low = rule.batch_size * unit_start
        high = rule.batch_size * next_start
        inputs = batch_.values[low : low + n_rows * n_in]
        outputs = batch_.values[high : high + n_rows * n_out]
        gemm(
            0, 0, n_rows, n_out, n_in, inputs.ctypes.data, n_in, block.ctypes.data, n_out,
            outputs.ctypes.data, n_out,
        )  # fmt: skip
        if layer < n_layers - 1:
            for c in range(n_out):
                batch_.bias[c] = weights.theta[start + size + batch_.active[next_start + c]]
            activate_(
                rule.activation, outputs.reshape(n_rows, n_out), batch_.bias[:n_out],
                batch_.active_gate[next_start : next_start + n_out],
            )  # fmt: skip
        start += size + fan_out
        unit_start = next_start


@kernel
def backward_(weights_, batch_, rule, n_rows, n_active):
    """Turn the outputs' derivatives into the compact gradients of all layers, in `work`."""
    n_layers = len(weights_.widths) - 1
    start = len(weights_.theta)
    unit_start = 0
    for layer in range(n_layers):
        unit_start += weights_.widths[layer]
    for layer in range(n_layers - 1, -1, -1):
        fan_in, fan_out = weights_.widths[layer], weights_.widths[layer + 1]
        size = fan_in * fan_out
        start -= size + fan_out
        next_start = unit_start
        unit_start -= fan_in
        n_in, n_out = n_active[layer], n_active[layer + 1]
        low = rule.batch_size * unit_start
        high = rule.batch_size * next_start
        inputs = batch_.values[low : low + n_rows * n_in]
        delta = batch_.values[high : high + n_rows * n_out]
        upstream = batch_.upstream[: n_rows * n_in] if layer > 0 else batch_.upstream[:0]
        work = weights_.work[start : start + size]
        if layer > 0:
            # Before the gradient overwrites the compact weights in `work`.
            block = work
            if n_in == fan_in and n_out == fan_out:
                block = weights_.theta[start : start + size]
            gemm(
                0, 1, n_rows, n_in, n_out, delta.ctypes.data, n_out, block.ctypes.data,
                n_out, upstream.ctypes.data, n_in,
            )  # fmt: skip
        sum_rows(
            delta.reshape(n_rows, n_out),
            weights_.work[start + size : start + size + n_out],
        )
        gemm(
            1, 0, n_in, n_out, n_rows, inputs.ctypes.data, n_in, delta.ctypes.data, n_out,
            work.ctypes.data, n_out,
        )  # fmt: skip
        if layer > 0:
            differentiate_(
                rule.activation, inputs.reshape(n_rows, n_in), upstream.reshape(n_rows, n_in),
                batch_.active_gate[unit_start : unit_start + n_in],
            )  # fmt: skip


@kernel
def update_(weights_, gates_, batch_, rule, n_rows, n_active):
    """Move all weights, biases and log-odds by one step."""
    weights_.step[0] += 1
    t = float(weights_.step[0])
    correction = np.sqrt(1.0 - rule.beta_2**t) / (1.0 - rule.beta_1**t)
    decay = np.float32(rule.alpha / n_rows)
    rate = np.float32(rule.rate * correction if rule.solver == ADAM else rule.rate)
    start = 0
    unit_start = 0
    for layer in range(len(weights_.widths) - 1):
        update_layer_(
            weights_, gates_, batch_, rule, rate, decay, layer, start, unit_start,
            n_active[layer], n_active[layer + 1],
        )  # fmt: skip
        start += (weights_.widths[layer] + 1) * weights_.widths[layer + 1]
        unit_start += weights_.widths[layer]
    if len(gates_.log_odds) > 0:
        update_gates_(gates_, rule, rule.gate_rate * correction)


@kernel
def train_batches(weights_, gates_, batch_, rule, x_source, y_source, order, uniforms, tally_):
    """Train on the rows `order`, mini-batch after mini-batch.

    Parameters
    ----------
    weights_, gates_, batch_ : Weights, Gates, Batch
        Views of the training buffers; overwritten.
    rule : Rule
    x_source, y_source : int
        Addresses of the row sources of X and of the encoded targets.
    order : int32 array of shape (n_rows,)
        Row numbers, in the order in which they are visited.
    uniforms : float32 array of shape (n_batches, n_units)
        One draw per gated unit and mini-batch, in ``[0, 1)``.
    tally_ : float64 array of shape (2,)
        Sums over the rows of the loss, and of the mini-batch's expected penalty (before
        lam); added to.

    Returns
    -------
    int
        Number of mini-batches done. Fewer than asked for means that the loss of the next
        one is not finite; the parameters are as before that mini-batch.
    """
    before = flush_begin()
    widths = weights_.widths
    n_layers = len(widths) - 1
    n_active = np.empty(n_layers + 1, np.int64)
    n_targets = batch_.targets.shape[1]
    target_columns = np.arange(n_targets).astype(np.int32)
    n_batches = (len(order) + rule.batch_size - 1) // rule.batch_size
    done = 0
    while done < n_batches:
        rows = order[done * rule.batch_size : (done + 1) * rule.batch_size]
        n_rows = len(rows)
        penalty = draw_gates_(gates_, uniforms[done])
        use_lit = look_for_lit_(batch_, x_source, rows, widths[0])
        unit_start = 0
        for layer in range(n_layers):
            n_active[layer] = list_active_(
                batch_, gates_, unit_start, gates_.start[layer], widths[layer],
                use_lit and layer == 0, COMPACT_INPUTS if layer == 0 else COMPACT_HIDDEN,
            )  # fmt: skip
            unit_start += widths[layer]
        n_outputs = widths[n_layers]
        n_active[n_layers] = n_outputs
        for c in range(n_outputs):
            batch_.active[unit_start + c] = c
        n_in = n_active[0]
        for c in range(n_in):
            batch_.wanted[c] = batch_.columns[batch_.active[c]]
        read_rows(
            x_source, rows.ctypes.data, n_rows, batch_.wanted.ctypes.data, n_in,
            batch_.active_gate.ctypes.data, batch_.values.ctypes.data, 0,
        )  # fmt: skip
        read_rows(
            y_source, rows.ctypes.data, n_rows, target_columns.ctypes.data, n_targets,
            0, batch_.targets.ctypes.data, 0,
        )  # fmt: skip
        forward_(weights_, batch_, rule, n_rows, n_active)
        low = rule.batch_size * unit_start
        outputs = batch_.values[low : low + n_rows * n_outputs].reshape(n_rows, n_outputs)
        bias = weights_.theta[len(weights_.theta) - n_outputs :]
        loss = output_loss_(rule.loss, outputs, bias, batch_.targets)
        if not np.isfinite(loss):
            break
        backward_(weights_, batch_, rule, n_rows, n_active)
        update_(weights_, gates_, batch_, rule, n_rows, n_active)
        tally_[0] += loss
        tally_[1] += penalty * n_rows
        done += 1
    flush_end(before)
    return done
