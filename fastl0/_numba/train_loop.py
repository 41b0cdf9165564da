"""The compiled mini-batch loop: draw gates, gather, forward, backward, update.

Works on memory of `training.buffers`, by address, and owns nothing. For the
notation see `layers`.

Threads: a *leader* goes through the mini-batches and calls the helpers that are ready
(``_team.h``). Each member takes its share of the mini-batch's rows all the way forward and
back; then all meet, and each takes its share of the weights' rows, sums up their gradients
over the whole mini-batch and moves them; then all meet again. Every number comes out of the
same operations in the same order whoever computes it, so that the number of threads
changes no bit.
"""

import numpy as np

from fastl0._numba.active_units import (
    COMPACT_HIDDEN,
    COMPACT_INPUTS,
    find_nonzero_columns_,
    list_units_,
    merge_nonzero_columns_,
)
from fastl0._numba.gates import draw_gates_, update_gates_
from fastl0._numba.jit import (
    doubles,
    entry,
    flush_begin,
    flush_end,
    ints,
    kernel,
    longs,
    prefetch_rows,
    team_call,
    team_enlist,
    team_meet,
    team_rest,
    team_size,
)
from fastl0._numba.layer import split_range
from fastl0._numba.layers import backward_, compute_loss_, forward_, read_batch_
from fastl0._numba.matmul import TILE_ROWS
from fastl0._numba.optimizers import adam_correction
from fastl0._numba.permutation import fill_rows_
from fastl0._numba.update import update_share_
from fastl0.kernel_api.structs import JOB, LOOK_FOR_NONZERO, N_NEXT, N_ROWS, NEXT_START


@kernel(part=True)
def prefetch_next_(weights, batch_, params, x_source, order, number, size):
    """List a member's share of the next mini-batch's rows and have them fetched."""
    job = longs(batch_.job, JOB)
    low, high = split_range(job[N_NEXT], 1, number, size)
    rows = entry(batch_.rows, params.batch_size + low)
    fill_rows_(order, job[NEXT_START] + low, ints(rows, high - low))
    if job[LOOK_FOR_NONZERO] != 0:
        n_inputs = longs(weights.widths, 1)[0]
        find_nonzero_columns_(batch_, x_source, rows, high - low, number, n_inputs)
    else:
        n = longs(batch_.n_prefetch_columns, 1)[0]
        prefetch_rows(x_source, rows, high - low, batch_.prefetch_columns, n)


@kernel(part=True)
def train_share_(weights_, gates_, batch_, params, x_source, y_source, order, team, number, size):
    """Do a member's share of one mini-batch; return the sum of all rows' losses.

    Where that is not finite, no weight has been moved.
    """
    job = longs(batch_.job, JOB)
    n_rows = job[N_ROWS]
    low, high = split_range(n_rows, TILE_ROWS, number, size)
    if low < high:
        read_batch_(batch_, x_source, y_source, low, high, number, longs(batch_.n_active, 1)[0])
        forward_(weights_, batch_, params, low, high, number)
        compute_loss_(weights_, batch_, params, low, high)
        backward_(weights_, batch_, params, low, high, number)
    team_meet(team, number, size)
    loss = 0.0
    losses = doubles(batch_.losses, n_rows)
    for i in range(n_rows):
        loss += losses[i]
    if np.isfinite(loss):
        prefetch_next_(weights_, batch_, params, x_source, order, number, size)
        update_share_(weights_, gates_, batch_, params, number, size)
    team_meet(team, number, size)
    return loss


@kernel(part=True)
def prepare_batch_(
    weights, gates_, batch_, params, x_source, order, start, uniforms, is_first, size
):
    """Leader: prepare all that the mini-batch from row `start` on needs.

    `size` is that of the team which looked through the columns, and `is_first` says that
    nobody has.
    """
    n_inputs = longs(weights.widths, 1)[0]
    nonzero_pause, job = longs(batch_.nonzero_pause, 1), longs(batch_.job, JOB)
    rows = ints(batch_.rows, 2 * params.batch_size)
    n_rows = min(params.batch_size, order.n_rows - start)
    n_next = min(params.batch_size, order.n_rows - start - n_rows)
    if is_first:
        fill_rows_(order, start, rows[:n_rows])
    else:
        for k in range(n_rows):
            rows[k] = rows[params.batch_size + k]
    draw_gates_(gates_, uniforms, params.held_open)
    use_nonzero = nonzero_pause[0] == 0
    if use_nonzero:
        if is_first:
            find_nonzero_columns_(batch_, x_source, batch_.rows, n_rows, 0, n_inputs)
        merge_nonzero_columns_(batch_, 1 if is_first else size, n_inputs)
    else:
        nonzero_pause[0] -= 1
    list_units_(weights, gates_, batch_, use_nonzero, COMPACT_INPUTS, COMPACT_HIDDEN)
    job[N_ROWS], job[N_NEXT], job[NEXT_START] = n_rows, n_next, start + n_rows
    job[LOOK_FOR_NONZERO] = nonzero_pause[0] == 0


@kernel
def train_batches(
    weights_, gates_, batch_, params, x_source, y_source, order, first, uniforms, tally_, team,
    seat,
):  # fmt: skip
    """Train on some mini-batches of an epoch.

    Parameters
    ----------
    weights_, gates_, batch_ : ParamPointers, GatePointers, BatchPointers
        Addresses of the training buffers, which are overwritten.
    params : StepParams
    x_source, y_source : int
        Addresses of the row sources of X and of the encoded targets.
    order : RowOrder
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
    start = first * params.batch_size
    number = 0
    size = 1
    while seat > 0 or done < len(uniforms):
        if seat > 0:
            number = team_enlist(team, seat)
            if number == 0:
                break
            size = team_size(team)
        else:
            prepare_batch_(
                weights_, gates_, batch_, params, x_source, order, start, uniforms[done], done == 0,
                size,
            )  # fmt: skip
            size = team_call(team) if team != 0 else 1
        loss = train_share_(
            weights_, gates_, batch_, params, x_source, y_source, order, team, number, size
        )
        if seat == 0:
            if not np.isfinite(loss):
                break
            step[0] += 1
            update_gates_(gates_, params, params.gate_rate * adam_correction(params, step[0]))
            tally_[0] += loss
            start += job[N_ROWS]
            done += 1
    if seat == 0 and team != 0:
        team_rest(team)
    flush_end(before)
    return done
