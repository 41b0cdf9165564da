"""What all kernels have in common."""

import naive
import numpy as np
import problems
import pytest
from kernel_checks import SUBNORMAL

from fastl0._numba import jit
from fastl0._numba.activations import activate_, differentiate_
from fastl0._numba.gates import sample_gates
from fastl0._numba.losses import output_loss_
from fastl0._numba.optimizers import adam_step_, sgd_step_
from fastl0.kernel_api.codes import LOGISTIC_LOSS, TANH


def test_kernels_leave_their_inputs_alone():
    rng = np.random.default_rng(0)
    uniforms, log_odds, bias, gates, gradient = rng.random((5, 7)).astype(np.float32)
    before = [a.copy() for a in (uniforms, log_odds, bias, gates, gradient)]
    blank = np.zeros((4, 7), np.float32)
    sample_gates(uniforms, log_odds, *blank[:3])
    activate_(TANH, blank[:2], bias, gates)
    differentiate_(TANH, blank[:2], blank[2:], gates)
    output_loss_(
        LOGISTIC_LOSS,
        np.float32(0),
        blank[:1],
        bias,
        gates[None],
        np.float32(0.5),
        np.zeros(1),
    )
    adam_step_(*blank[:3], gradient, *[np.float32(0.5)] * 5)
    sgd_step_(*blank[:2], gradient, np.float32(0.5), np.float32(0.5), 1, np.float32(0))
    for a, b in zip((uniforms, log_odds, bias, gates, gradient), before, strict=True):
        np.testing.assert_array_equal(a, b)


def subnormals_work():
    double, single = np.array([1e-310]), np.array([SUBNORMAL])
    return (
        float(double[0]) * 1.0 != 0
        and (double * 1.0)[0] != 0
        and (single * np.float32(1))[0] == SUBNORMAL
        and (single + single)[0] == 2 * float(SUBNORMAL)
    )


def test_a_scope_flushes_subnormal_numbers_and_restores_them():
    assert subnormals_work()

    @jit.kernel
    def halved(values):
        before = jit.flush_begin()
        for k in range(len(values)):
            values[k] *= np.float32(0.5)
        jit.flush_end(before)

    values = np.array([SUBNORMAL, np.finfo(np.float32).tiny, 1.0], np.float32)
    halved(values)
    np.testing.assert_array_equal(values, [0, 0, 0.5])
    assert subnormals_work()


@pytest.mark.parametrize("x", [1.0, np.inf], ids=["finite", "diverging"])
def test_training_restores_subnormal_numbers(x):
    problem = problems.problem((5, 3, 2), n_rows=4, batch_size=4, dark=0)
    problem.X[:] = x
    buffers = problems.buffers_of(problem)
    if np.isfinite(x):
        problems.run(buffers, problem, naive.Settings())
    else:
        with pytest.raises(problems.NotFiniteError):
            problems.run(buffers, problem, naive.Settings())
    assert subnormals_work()


def test_training_lets_no_moment_become_subnormal():
    problem = problems.problem((9, 5, 2), gated=(False, False), dark=0.5, n_rows=4, batch_size=4)
    buffers = problems.buffers_of(problem)
    dark = ~problem.X.any(axis=0)
    first = problems.per_parameter(buffers, "first", "gate_first")[0]
    first[dark] = 2 * np.finfo(np.float32).tiny
    for _ in range(10):
        problems.run(buffers, problem, naive.Settings())
    assert dark.sum() == 4
    assert not first[dark].any()
