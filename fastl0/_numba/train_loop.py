"""The compiled mini-batch loop: sample gates, gather, forward, backward, then `updates`.

Works on memory that `memory.Buffers` lends for one epoch, by address, and owns nothing.
May import `jit`, `kernels`, `lent`, `one_row`, `ordering`, `products` and `updates`.

Notation: a layer l has `fan_in` input units and `fan_out` units; A[l] (batch, fan_in)
holds its gated inputs ``z * h``, W[l] (fan_in, fan_out) its weights, D[l] (batch, fan_out)
the loss's derivative by its pre-activations. In each mini-batch every set of units has a
list of *active* ones. Where enough gates are closed (or columns of X are zero in the whole
mini-batch) the list holds only the open ones, and all products run on the compact block
``W[l][active_in][:, active_out]``; otherwise it holds all units, and closed ones merely
carry a gate of 0. Both are exact: a closed unit's activation and the gradients of its
outgoing weights are zero.

Threads: a *leader* goes through the mini-batches and calls the helpers that are ready
(``_team.h``). Each member takes its share of the mini-batch's rows all the way forward and
back; then all meet, and each takes its share of the weights' rows, sums up their gradients
over the whole mini-batch and moves them; then all meet again. Every number comes out of the
same operations in the same order whoever computes it, so that the number of threads
changes no bit.

A mini-batch of a single row takes another way (`one_row`): whole rows of the active units'
weights are read, and the active outputs picked from what comes out. Packing would not pay, and
gradients need not be stored.
"""

import numpy as np

from fastl0._numba.jit import (
    bytes_,
    doubles,
    floats,
    flush_begin,
    flush_end,
    ints,
    kernel,
    longs,
    matrix,
    prefetch_rows,
    read_rows,
    team_call,
    team_enlist,
    team_meet,
    team_rest,
    team_size,
)
from fastl0._numba.kernels import (
    activate_,
    differentiate_,
    output_loss_,
    pick_,
    sample_gates,
    spread_,
)
from fastl0._numba.matmul import TILE_COLUMNS, TILE_ROWS, multiply_
from fastl0._numba.permutation import list_rows_
from fastl0._numba.single_row import combine_rows_, dot_rows_
from fastl0._numba.structs import JOB, LOOK, N_NEXT, N_ROWS, NEXT_START, padded, share
from fastl0._numba.update import adam_correction, update_, update_gates_

#: Compact when at most this share of the inputs / of a hidden layer is active. Measured by
#: benches/sweep.py; above it copying the block costs more than it saves.
COMPACT_INPUTS = np.float32(0.97)
COMPACT_HIDDEN = np.float32(0.80)

#: Mini-batches to go without looking for zero columns after finding hardly any.
_LIT_PAUSE = 63


# --- what to do ----------------------------------------------------------------------


@kernel
def draw_gates_(gates_, uniforms, held_open):
    """Sample all gates of one mini-batch, or hold them open, and tally them."""
    n = gates_.n_gates
    values, pi = floats(gates_.gate_value, n), floats(gates_.on_probability, n)
    gradient = floats(gates_.gate_gradient, n)
    on_count, on_sum = longs(gates_.on_count, n), doubles(gates_.on_sum, n)
    slopes = floats(gates_.gate_slope, n)
    sample_gates(uniforms, floats(gates_.log_odds, n), values, slopes, pi)
    if held_open:
        for j in range(n):
            values[j] = slopes[j] = pi[j] = np.float32(1.0)
    for j in range(n):
        on_count[j] += values[j] > 0
        on_sum[j] += pi[j]
        gradient[j] = np.float32(0.0)


@kernel(part=True)
def look_for_lit_(batch_, x_source, rows, n_rows, number, n_inputs):
    """Mark the columns that hold a non-zero in some rows, in the part of member `number`."""
    read_rows(
        x_source, number, rows, n_rows, batch_.columns, n_inputs, 0, 0, 0,
        batch_.lit + number * n_inputs,
    )  # fmt: skip


@kernel(part=True)
def gather_lit_(batch_, size, n_inputs):
    """Put the parts of `size` members into the first one, and decide when to look again."""
    lit = bytes_(batch_.lit, n_inputs)
    for number in range(1, size):
        part = bytes_(batch_.lit + number * n_inputs, n_inputs)
        for j in range(n_inputs):
            lit[j] |= part[j]
    n_lit = 0
    for j in range(n_inputs):
        n_lit += lit[j]
    if n_lit > COMPACT_INPUTS * n_inputs:
        longs(batch_.lit_pause, 1)[0] = _LIT_PAUSE


@kernel(part=True)
def list_active_(active_, width, gates, gated, lit, use_lit, limit):
    """List the active units of one set; return how many there are (at least one)."""
    n = 0
    for j in range(width):
        is_open = not gated or gates[j] > 0
        active_[n] = j
        n += is_open and (not use_lit or lit[j] != 0)
    if n > limit * width:
        n = width
        for j in range(width):
            active_[j] = j
    elif n == 0:
        active_[0] = 0
        n = 1
    return n


@kernel
def list_units_(weights, gates, batch_, use_lit, compact_inputs, compact_hidden):
    """List the active units of all sets, their gates and biases, and the columns to read.

    Where more than the share `compact_inputs` or `compact_hidden` of a set is active, the
    whole set is listed.
    """
    n_layers = weights.n_layers
    widths, n_active = longs(weights.widths, n_layers + 1), longs(batch_.n_active, n_layers + 1)
    gate_start = longs(gates.gate_start, n_layers)
    lit = bytes_(batch_.lit, widths[0])
    start = 0
    unit_start = 0
    for layer in range(n_layers + 1):
        width = widths[layer]
        active = ints(batch_.active + 4 * unit_start, width)
        active_gate = floats(batch_.active_gate + 4 * unit_start, width)
        gated = layer < n_layers and gate_start[layer] >= 0
        value = floats(gates.gate_value + 4 * (gate_start[layer] if gated else 0), width)
        n = list_active_(
            active, width, value, gated, lit, use_lit and layer == 0,
            compact_inputs if layer == 0 else compact_hidden,
        )  # fmt: skip
        n_active[layer] = n
        for c in range(n):
            active_gate[c] = value[active[c]] if gated else np.float32(1.0)
        if layer == 0:
            columns, wanted = ints(batch_.columns, width), ints(batch_.wanted, width)
            for c in range(n):
                wanted[c] = columns[active[c]]
        else:
            start += widths[layer - 1] * width
            bias = floats(weights.theta + 4 * start, width)
            active_bias = floats(batch_.active_bias + 4 * unit_start, width)
            for c in range(n):
                active_bias[c] = bias[active[c]]
            start += width
        unit_start += width


# --- a share of the rows: forward and back -------------------------------------------


@kernel(part=True)
def gather_(batch_, x_source, y_source, low, high, number, n_in):
    """Read the rows from `low` to `high` of the mini-batch."""
    stride = padded(n_in)
    rows = batch_.rows + 4 * low
    read_rows(
        x_source, number, rows, high - low, batch_.wanted, n_in, batch_.active_gate,
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
def forward_(weights, batch_, rule, low, high, number):
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
        next_values = values + 4 * rule.batch_size * padded(fan_in)
        inputs, outputs = values + 4 * low * stride_in, next_values + 4 * low * stride_out
        unit_start += fan_in
        active_out = batch_.active + 4 * unit_start
        if is_single:
            whole = panel if n_out < fan_out else outputs
            combine_rows_(inputs, theta, fan_out, active, n_in, whole)
            if n_out < fan_out:
                pick_(floats(whole, fan_out), ints(active_out, n_out), floats(outputs, n_out))
        elif n_out < fan_out:
            stride = panel_stride(n_out)
            for c in range(0, n_out, stride):
                n = min(stride, n_out - c)
                pack_columns(theta, fan_out, active, n_in, active_out + 4 * c, n, panel, stride)
                multiply_(
                    inputs, stride_in, 1, n_rows, panel, stride, 0, n_in,
                    outputs + 4 * c, stride_out, n,
                )  # fmt: skip
        else:
            multiply_(
                inputs, stride_in, 1, n_rows, theta, fan_out, active if n_in < fan_in else 0,
                n_in, outputs, stride_out, n_out,
            )  # fmt: skip
        if layer < n_layers - 1:
            activate_(
                rule.activation, matrix(outputs, n_rows, stride_out),
                floats(batch_.active_bias + 4 * unit_start, n_out),
                floats(batch_.active_gate + 4 * unit_start, n_out),
            )  # fmt: skip
        theta += 4 * (fan_in + 1) * fan_out
        active, values = active_out, next_values


@kernel
def judge_(weights, batch_, rule, low, high):
    """Turn the outputs of some rows into the derivatives of their loss, and note the losses."""
    n_layers = weights.n_layers
    widths = longs(weights.widths, n_layers + 1)
    unit_start, values = 0, batch_.values
    for layer in range(n_layers):
        unit_start += widths[layer]
        values += 4 * rule.batch_size * padded(widths[layer])
    n_outputs, n_targets = widths[n_layers], batch_.n_targets
    stride = padded(n_outputs)
    output_loss_(
        rule.loss,
        np.float32(rule.parameter),
        matrix(values + 4 * low * stride, high - low, stride),
        floats(batch_.active_bias + 4 * unit_start, n_outputs),
        matrix(batch_.targets + 4 * low * n_targets, high - low, n_targets),
        np.float32(1.0) / np.float32(longs(batch_.job, JOB)[N_ROWS]),
        doubles(batch_.losses + 8 * low, high - low),
    )


@kernel
def backward_(weights, batch_, rule, low, high, number):
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
        values += 4 * rule.batch_size * padded(fan_in)
        deltas += 4 * rule.batch_size * padded(fan_in) if layer > 0 else 0
        unit_start += fan_in
    delta = values + 4 * low * padded(n_active[n_layers])
    for layer in range(n_layers - 1, 0, -1):
        fan_in, fan_out = widths[layer], widths[layer + 1]
        n_in, n_out = n_active[layer], n_active[layer + 1]
        stride_in, stride_out = padded(n_in), padded(n_out)
        theta -= 4 * (fan_in + 1) * fan_out
        values -= 4 * rule.batch_size * padded(fan_in)
        deltas -= 4 * rule.batch_size * padded(fan_in)
        active_out = batch_.active + 4 * unit_start
        unit_start -= fan_in
        active_in = batch_.active + 4 * unit_start
        upstream = deltas + 4 * low * stride_in
        if is_single:
            if n_out < fan_out:
                spread_(floats(delta, n_out), ints(active_out, n_out), floats(panel, fan_out))
                delta = panel
            dot_rows_(delta, theta, fan_out, active_in, n_in, upstream)
        else:
            stride = panel_stride(n_in)
            for c in range(0, n_in, stride):
                n = min(stride, n_in - c)
                pack_transposed(
                    theta, fan_out, active_in + 4 * c, n, active_out, n_out, panel, stride
                )
                multiply_(
                    delta, stride_out, 1, n_rows, panel, stride, 0, n_out,
                    upstream + 4 * c, stride_in, n,
                )  # fmt: skip
        differentiate_(
            rule.activation, matrix(values + 4 * low * stride_in, n_rows, stride_in),
            matrix(upstream, n_rows, stride_in),
            floats(batch_.active_gate + 4 * unit_start, n_in),
        )  # fmt: skip
        delta = upstream


# --- the loop ------------------------------------------------------------------------


@kernel(part=True)
def look_ahead_(weights, batch_, rule, x_source, order, number, size):
    """List a member's share of the next mini-batch's rows and have them fetched."""
    job = longs(batch_.job, JOB)
    low, high = share(job[N_NEXT], 1, number, size), share(job[N_NEXT], 1, number + 1, size)
    rows = batch_.rows + 4 * (rule.batch_size + low)
    list_rows_(order, job[NEXT_START] + low, ints(rows, high - low))
    if job[LOOK] != 0:
        n_inputs = longs(weights.widths, 1)[0]
        look_for_lit_(batch_, x_source, rows, high - low, number, n_inputs)
    else:
        n = longs(batch_.n_landmarks, 1)[0]
        prefetch_rows(x_source, rows, high - low, batch_.landmarks, n)


@kernel(part=True)
def share_work_(weights_, gates_, batch_, rule, x_source, y_source, order, team, number, size):
    """Do a member's share of one mini-batch; return the sum of all rows' losses.

    Where that is not finite, no weight has been moved.
    """
    job = longs(batch_.job, JOB)
    n_rows = job[N_ROWS]
    low = share(n_rows, TILE_ROWS, number, size)
    high = share(n_rows, TILE_ROWS, number + 1, size)
    if low < high:
        gather_(batch_, x_source, y_source, low, high, number, longs(batch_.n_active, 1)[0])
        forward_(weights_, batch_, rule, low, high, number)
        judge_(weights_, batch_, rule, low, high)
        backward_(weights_, batch_, rule, low, high, number)
    team_meet(team, number, size)
    loss = 0.0
    losses = doubles(batch_.losses, n_rows)
    for i in range(n_rows):
        loss += losses[i]
    if np.isfinite(loss):
        look_ahead_(weights_, batch_, rule, x_source, order, number, size)
        update_(weights_, gates_, batch_, rule, number, size)
    team_meet(team, number, size)
    return loss


@kernel(part=True)
def prepare_(weights, gates_, batch_, rule, x_source, order, start, uniforms, is_first, size):
    """Leader: settle all that the mini-batch from row `start` on needs.

    `size` is that of the team which looked through its columns, and `is_first` says that
    nobody has.
    """
    n_inputs = longs(weights.widths, 1)[0]
    lit_pause, job = longs(batch_.lit_pause, 1), longs(batch_.job, JOB)
    rows = ints(batch_.rows, 2 * rule.batch_size)
    n_rows = min(rule.batch_size, order.n_rows - start)
    n_next = min(rule.batch_size, order.n_rows - start - n_rows)
    if is_first:
        list_rows_(order, start, rows[:n_rows])
    else:
        for k in range(n_rows):
            rows[k] = rows[rule.batch_size + k]
    draw_gates_(gates_, uniforms, rule.held_open)
    use_lit = lit_pause[0] == 0
    if use_lit:
        if is_first:
            look_for_lit_(batch_, x_source, batch_.rows, n_rows, 0, n_inputs)
        gather_lit_(batch_, 1 if is_first else size, n_inputs)
    else:
        lit_pause[0] -= 1
    list_units_(weights, gates_, batch_, use_lit, COMPACT_INPUTS, COMPACT_HIDDEN)
    job[N_ROWS], job[N_NEXT], job[NEXT_START] = n_rows, n_next, start + n_rows
    job[LOOK] = lit_pause[0] == 0


@kernel
def train_batches(
    weights_, gates_, batch_, rule, x_source, y_source, order, first, uniforms, tally_, team,
    seat,
):  # fmt: skip
    """Train on some mini-batches of an epoch.

    Parameters
    ----------
    weights_, gates_, batch_ : Weights, Gates, Batch
        Addresses of the training buffers, which are overwritten.
    rule : Rule
    x_source, y_source : int
        Addresses of the row sources of X and of the encoded targets.
    order : Order
        The rows of the epoch.
    first : int
        Number of the first mini-batch within the epoch.
    uniforms : float32 array of shape (n_batches, n_units)
        One draw per gated unit and mini-batch, in ``[0, 1)``.
    tally_ : float64 array of shape (1,)
        Sum of the losses of the rows; added to.
    team : int
        Address of the `Team` whose helpers share the work; 0 for none.
    seat : int
        0 for the leader. A helper gives the number of its seat, from 1 on, and works at
        whatever mini-batches of the epoch the leader calls it for; `first`, `uniforms` and
        `tally_` are then of no account.

    Returns
    -------
    int
        Number of mini-batches done. Fewer than asked for means that the loss of the next
        one is not finite; the parameters are as before that mini-batch.
    """
    before = flush_begin()
    job, step = longs(batch_.job, JOB), longs(weights_.step, 1)
    done = 0
    start = first * rule.batch_size
    number = 0
    size = 1
    while seat > 0 or done < len(uniforms):
        if seat > 0:
            number = team_enlist(team, seat)
            if number == 0:
                break
            size = team_size(team)
        else:
            prepare_(
                weights_, gates_, batch_, rule, x_source, order, start, uniforms[done], done == 0,
                size,
            )  # fmt: skip
            size = team_call(team) if team != 0 else 1
        loss = share_work_(
            weights_, gates_, batch_, rule, x_source, y_source, order, team, number, size
        )
        if seat == 0:
            if not np.isfinite(loss):
                break
            step[0] += 1
            update_gates_(gates_, rule, rule.gate_rate * adam_correction(rule, float(step[0])))
            tally_[0] += loss
            start += job[N_ROWS]
            done += 1
    if seat == 0 and team != 0:
        team_rest(team)
    flush_end(before)
    return done
