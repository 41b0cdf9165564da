"""Each kernel against its namesake in `naive`, which gets the same numbers in float64."""

import naive
import numpy as np
import pytest
import small

from fastl0._numba import jit, kernels
from fastl0.model.hard_concrete import LOG_ODDS_LIMIT

EPS = float(np.finfo(np.float32).eps)
SHAPES = [(1, 1), (1, 7), (7, 1), (13, 31), (2, 257)]
LENGTHS = [0, 1, 2, 7, 31, 1009]
EXTREMES = [0.0, -0.0, 1e-6, -1e-6, 0.5, -3.0, 20.0, -20.0, 50.0, -50.0, 88.0, -88.0, 1e4, -1e4]
SUBNORMAL = np.float32(1e-40)


def random(shape, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def both(name, *arguments):
    """Call the kernel and the reference; return their results with all arrays overwritten.

    Activations and losses go by name to the reference, by number to the kernel. Arrays of
    float64 stay what they are.
    """
    numbers = kernels.ACTIVATIONS if "loss" not in name else kernels.LOSSES
    results = []
    for function, is_kernel in ((getattr(kernels, name), True), (getattr(naive, name), False)):
        own = []
        for value in arguments:
            if isinstance(value, str):
                own.append(numbers[value] if is_kernel else value)
            elif isinstance(value, np.ndarray):
                own.append(value.astype(value.dtype if is_kernel else float))
            elif isinstance(value, float):
                own.append(np.float32(value) if is_kernel else float(np.float32(value)))
            else:
                own.append(value)
        result = function(*own)
        results.append([*(a for a in own if isinstance(a, np.ndarray)), result])
    return results


#: Of each loss: label smoothing, where it becomes linear, or its level.
PARAMETERS = dict.fromkeys(kernels.LOSSES, (0.0,)) | {
    "softmax": (0.1, 0.0),
    "logistic": (0.1, 0.0),
    "huber": (0.5, 2.0),
    "quantile": (0.1, 0.8),
}


def assert_same(name, *arguments, rtol=4 * EPS, atol=0.0):
    for found, expected in zip(*both(name, *arguments), strict=True):
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)


# --- elementary functions ------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
def test_exponentials_and_logarithms_agree(length):
    powers = np.random.default_rng(2).uniform(-80, 80, length).astype(np.float32)
    for x in -abs(powers):
        np.testing.assert_allclose(kernels.exp(x), np.exp(np.float64(x)), rtol=4 * EPS)
    for x in np.exp(powers):
        expected = np.log(np.float64(x))
        np.testing.assert_allclose(kernels.log(x), expected, rtol=2 * EPS, atol=2 * EPS)


# Without the JIT NumPy warns where a NaN becomes an integer.
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_exponentials_end_at_one_and_near_zero_and_keep_nan():
    found = [kernels.exp(np.float32(x)) for x in (0.0, -0.0, -87.0, -1e4, -np.inf, np.nan)]
    lowest = np.exp(np.float32(-87))
    np.testing.assert_allclose(found, [1, 1, lowest, lowest, lowest, np.nan], rtol=4 * EPS)


# --- gates ---------------------------------------------------------------------------


def sampled(uniforms, log_odds):
    """Gates, slopes and on-probabilities of the kernel and of the reference."""
    blank = np.full(len(log_odds), np.nan, np.float32)
    pair = both("sample_gates", uniforms, log_odds, blank, blank, blank)
    return [arrays[2:5] for arrays in pair]


@pytest.mark.parametrize("length", LENGTHS)
def test_gates_slopes_and_on_probabilities_agree(length):
    uniforms = np.random.default_rng(1).uniform(0.02, 0.98, length).astype(np.float32)
    found, expected = sampled(uniforms, random(length, 2.0))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(found[0] == 0, expected[0] == 0)
    np.testing.assert_array_equal(found[0] == 1, expected[0] == 1)


def test_gates_take_every_kind_of_value():
    uniforms = np.linspace(0.02, 0.98, 1009, dtype=np.float32)
    z, slopes, _ = sampled(uniforms, np.zeros(1009, np.float32))[0]
    closed, full = z == 0, z == 1
    assert 100 < closed.sum() < 300
    assert 100 < full.sum() < 300
    assert not slopes[closed | full].any()
    assert slopes[~(closed | full)].all()
    assert np.all(np.diff(z) >= 0)


@pytest.mark.parametrize("log_odds", [-50.0, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT, 50.0])
@pytest.mark.parametrize("uniform", [0.0, 0.5, np.nextafter(np.float32(1), np.float32(0))])
def test_gates_are_finite_at_extreme_log_odds_and_draws(log_odds, uniform):
    found, expected = sampled(np.array([uniform], np.float32), np.array([log_odds], np.float32))
    # u, rounded to float32, is up to 6e-8 / 2 off; the log-odds of u by that over 1 - u.
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=0.03)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-5)
    assert np.isfinite(found).all()


def test_the_lowest_and_highest_draws_open_and_close_gates():
    uniforms = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
    log_odds = np.array([-4.605, 4.605, -4.605, 4.605], np.float32)
    z = sampled(uniforms, log_odds)[0][0]
    np.testing.assert_array_equal(z, [0, 0, 1, 1])


def test_log_odds_are_clamped_on_both_sides():
    for length in LENGTHS:
        assert_same("clamp_", random(length, 5.0), rtol=EPS)
    assert_same("clamp_", np.array([-50, 50, 4.605, -4.605, 0], np.float32), rtol=EPS)


@pytest.mark.parametrize("x", EXTREMES)
def test_the_logistic_function_agrees_and_does_not_overflow(x):
    assert_same("sigmoid", x, rtol=1e-5, atol=1e-37)


# --- activations ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", kernels.ACTIVATIONS)
def test_activations_agree(activation, shape):
    gates = np.linspace(0, 1, shape[1], dtype=np.float32)
    values, bias = random(shape, 3.0), random(shape[1], seed=1)
    assert_same("activate_", activation, values, bias, gates, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", kernels.ACTIVATIONS)
def test_activations_agree_at_extreme_values(activation):
    values = np.array([EXTREMES], np.float32)
    none, ones = np.zeros(values.shape[1], np.float32), np.ones(values.shape[1], np.float32)
    assert_same("activate_", activation, values, none, ones, rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("gate", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("activation", kernels.ACTIVATIONS)
def test_a_pre_activation_that_is_not_finite_is_seen_in_the_activation(activation, bad, gate):
    values = random((3, 17))
    values[1, 2] = bad
    bias, gates = random(17, seed=1), np.full(17, gate, np.float32)
    with np.errstate(invalid="ignore"):  # heard where the JIT is off
        kernels.activate_(kernels.ACTIVATIONS[activation], values, bias, gates)
    assert np.argwhere(~np.isfinite(values)).tolist() == [[1, 2]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", kernels.ACTIVATIONS)
def test_derivatives_of_gated_activations_agree(activation, shape):
    before = random(shape, 2.0).astype(float)
    gates = np.linspace(0, 1, shape[1]).astype(np.float32)
    gates[-1:] = 0.3
    upstream = random(shape, seed=1)
    values = (gates * naive.FUNCTIONS[activation](before)).astype(np.float32)
    expected = upstream * gates.astype(float) * naive.DERIVATIVES[activation](before)
    untouched = values.copy()
    kernels.differentiate_(kernels.ACTIVATIONS[activation], values, upstream, gates)
    np.testing.assert_allclose(upstream, expected, rtol=0, atol=2e-6)
    assert not upstream[:, gates == 0].any()
    np.testing.assert_array_equal(values, untouched)


@pytest.mark.parametrize("activation", kernels.ACTIVATIONS)
def test_derivatives_of_saturated_and_of_closed_units_are_finite(activation):
    before = np.array([EXTREMES] * 2)
    gates = np.where(np.arange(len(EXTREMES)) % 2, 1.0, 0.0).astype(np.float32)
    values = (gates * naive.FUNCTIONS[activation](before)).astype(np.float32)
    upstream = np.ones_like(values)
    kernels.differentiate_(kernels.ACTIVATIONS[activation], values, upstream, gates)
    expected = gates * naive.DERIVATIVES[activation](before)
    np.testing.assert_allclose(upstream, expected, rtol=0, atol=1e-6)


def test_relu_has_slope_zero_at_zero():
    upstream = np.ones((1, 3), np.float32)
    zeros, ones = np.zeros((1, 3), np.float32), np.ones(3, np.float32)
    kernels.differentiate_(kernels.RELU, zeros, upstream, ones)
    assert not upstream.any()


# --- losses --------------------------------------------------------------------------


def targets_of(loss, n_rows, n_outputs):
    rng = np.random.default_rng(2)
    if loss == "softmax":
        return rng.integers(n_outputs, size=(n_rows, 1)).astype(np.float32)
    if loss == "logistic":
        return rng.integers(2, size=(n_rows, n_outputs)).astype(np.float32)
    if loss == "poisson":
        return rng.poisson(2.0, size=(n_rows, n_outputs)).astype(np.float32)
    return rng.normal(size=(n_rows, n_outputs)).astype(np.float32)


def judged(loss, values, bias, targets, scale=None, parameter=None):
    """Derivatives and losses of the kernel and of the reference."""
    scale, blank = 1 / len(values) if scale is None else scale, np.full(len(values), np.nan)
    parameter = PARAMETERS[loss][-1] if parameter is None else parameter
    pair = both("output_loss_", loss, parameter, values, bias, targets, scale, blank)
    assert all(result is None for *_, result in pair)
    return [(arrays[0], arrays[3]) for arrays in pair]


def with_weights(targets):
    """Targets with a column of weights, some of them 0."""
    weights = np.random.default_rng(9).integers(0, 4, size=(len(targets), 1))
    return np.hstack([targets, 0.7 * weights]).astype(np.float32)


@pytest.mark.parametrize("scale", [None, 1.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "parameter"), [(loss, c) for loss, options in PARAMETERS.items() for c in options]
)
def test_losses_and_their_derivatives_agree(loss, parameter, weighted, shape, scale):
    targets = targets_of(loss, *shape)
    targets = with_weights(targets) if weighted else targets
    spread = 3.0 if loss != "poisson" else 1.0
    found, expected = judged(
        loss, random(shape, spread), random(shape[1], seed=1), targets, scale, parameter
    )
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=3e-6)
    np.testing.assert_allclose(found[1].sum(), expected[1].sum(), rtol=1e-5, atol=3e-6)
    np.testing.assert_allclose(
        found[0], expected[0], rtol=3e-6, atol=3e-6 * (scale or 1 / shape[0])
    )


@pytest.mark.parametrize("loss", kernels.LOSSES)
def test_a_row_of_no_weight_is_none_whatever_its_loss(loss):
    values, losses = random((3, 5)), np.full(3, np.nan)
    values[1] = np.inf
    targets = np.hstack([targets_of(loss, 3, 5), [[1], [0], [1]]]).astype(np.float32)
    kernels.output_loss_(
        kernels.LOSSES[loss], np.float32(0.5), values, np.zeros(5, np.float32), targets,
        np.float32(1), losses,
    )  # fmt: skip
    assert losses[1] == 0
    assert not values[1].any()
    assert np.isfinite(losses).all()
    assert values[0].any()


@pytest.mark.parametrize("scale", [20.0, 100.0, 1e4])
@pytest.mark.parametrize("loss", ["softmax", "logistic"])
def test_losses_of_huge_outputs_are_finite_and_agree(loss, scale):
    values = random((11, 5), scale)
    values[:2] = (scale,)
    values[2:4] = -scale
    found, expected = judged(loss, values, np.zeros(5, np.float32), targets_of(loss, 11, 5))
    np.testing.assert_allclose(found[1].sum(), expected[1].sum(), rtol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("loss", kernels.LOSSES)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_loss_of_outputs_that_are_not_finite_is_seen(loss, bad):
    values, losses = random((3, 5)), np.zeros(3)
    values[1, 2] = bad
    targets = np.zeros((3, 1 if loss == "softmax" else 5), np.float32)
    none = np.zeros(5, np.float32)
    with np.errstate(invalid="ignore"):  # heard where the JIT is off
        kernels.output_loss_(
            kernels.LOSSES[loss], np.float32(0), values, none, targets, np.float32(1), losses
        )
    np.testing.assert_array_equal(np.isfinite(losses), [True, False, True])


def test_a_perfect_prediction_costs_nothing():
    values = np.array([[50.0, -50.0]], np.float32)
    none = np.zeros(2, np.float32)
    for loss, targets in (("softmax", [[0]]), ("logistic", [[1, 0]])):
        own, losses = values.copy(), np.full(1, np.nan)
        targets = np.array(targets, np.float32)
        kernels.output_loss_(
            kernels.LOSSES[loss], np.float32(0), own, none, targets, np.float32(1), losses
        )
        assert 0 <= losses[0] < 1e-20
        np.testing.assert_allclose(own, 0, atol=1e-20)


# --- rows with padding -----------------------------------------------------------------


def widened(values, n_more=3):
    """The same numbers with columns of NaN behind them, and a view without those."""
    wide = np.full((values.shape[0], values.shape[1] + n_more), np.nan, np.float32)
    wide[:, : values.shape[1]] = values
    return wide, wide[:, : values.shape[1]]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("activation", kernels.ACTIVATIONS.values())
def test_activations_and_their_derivatives_leave_padding_alone(activation, shape):
    bias, gates = random(shape[1], seed=1), np.linspace(0.1, 1, shape[1], dtype=np.float32)
    values, upstream = random(shape), random(shape, seed=2)
    wide_values, own_values = widened(values)
    wide_upstream, own_upstream = widened(upstream)
    for pair in ((values, upstream), (wide_values, wide_upstream)):
        kernels.activate_(activation, pair[0], bias, gates)
        kernels.differentiate_(activation, *pair, gates)
    for own, wide, expected in (
        (own_values, wide_values, values),
        (own_upstream, wide_upstream, upstream),
    ):
        np.testing.assert_allclose(own, expected, rtol=4 * EPS, atol=EPS)
        assert np.isnan(wide[:, shape[1] :]).all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("loss", kernels.LOSSES)
def test_losses_leave_padding_alone(loss, shape):
    targets, bias = targets_of(loss, *shape), random(shape[1], seed=1)
    values, losses = random(shape), np.zeros((2, shape[0]))
    wide, own = widened(values)
    for k, matrix in enumerate((values, wide)):
        kernels.output_loss_(
            kernels.LOSSES[loss], np.float32(0), matrix, bias, targets, np.float32(0.5), losses[k]
        )
    np.testing.assert_allclose(own, values, rtol=4 * EPS, atol=EPS)
    np.testing.assert_allclose(losses[1], losses[0], rtol=4 * EPS)
    assert np.isnan(wide[:, shape[1] :]).all()


def test_sums_leave_padding_out():
    wide, own = widened(random((13, 5)))
    out = np.full(5, np.nan, np.float32)
    kernels.sum_rows(wide, out)
    np.testing.assert_allclose(out, own.sum(axis=0, dtype=float), rtol=0, atol=1e-5)


# --- sums ----------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(0, 5), *SHAPES])
def test_sums_over_rows_agree(shape):
    values = random(shape)
    out = np.full(shape[1], np.nan, np.float32)
    assert_same("sum_rows", values, out, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["pick_", "spread_"])
@pytest.mark.parametrize("length", LENGTHS)
def test_picked_and_spread_rows_agree(name, length):
    places = np.flatnonzero(np.arange(2 * length + 1) % 3 == 0).astype(np.int32)
    values, out = random(2 * length + 1), np.full(len(places), np.nan, np.float32)
    if name == "spread_":
        values, out = out, values
        values[:] = random(len(places), seed=1)
    expected = out.copy()
    getattr(kernels, name)(values, places, out)
    getattr(naive, name)(values, places, expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("length", LENGTHS)
def test_dot_products_agree(length):
    found, expected = both("dot", random(length), random(length, seed=1))
    np.testing.assert_allclose(found[-1], expected[-1], rtol=0, atol=EPS * (1 + length))


# --- steps ---------------------------------------------------------------------------


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("epsilon", [1e-8, 1e-3])
def test_adam_steps_agree(length, decay, epsilon):
    theta, first, gradient = (random(length, seed=seed) for seed in range(3))
    second = 0.1 + random(length, seed=3) ** 2
    assert_same(
        "adam_step_",
        theta,
        first,
        second,
        gradient,
        0.01,
        0.9,
        0.999,
        epsilon,
        decay,
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_first_adam_step_moves_by_the_rate_whatever_the_gradient():
    gradient = np.array([1e-4, -1.0, 1e4, 0.0], np.float32)
    theta, first, second = np.zeros((3, 4), np.float32)
    correction = np.sqrt(1 - 0.999) / (1 - 0.9)
    steps = [np.float32(x) for x in (0.01 * correction, 0.9, 0.999, 1e-12, 0.0)]
    kernels.adam_step_(theta, first, second, gradient, *steps)
    np.testing.assert_allclose(theta, [-0.01, 0.01, -0.01, 0], rtol=1e-4)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("nesterov", [True, False])
def test_gradient_descent_steps_agree(length, decay, momentum, nesterov):
    theta, velocity, gradient = (random(length, seed=seed) for seed in range(3))
    assert_same(
        "sgd_step_",
        theta,
        velocity,
        gradient,
        0.1,
        momentum,
        nesterov,
        decay,
        rtol=1e-5,
        atol=1e-6,
    )


def test_kernels_leave_their_inputs_alone():
    rng = np.random.default_rng(0)
    uniforms, log_odds, bias, gates, gradient = rng.random((5, 7)).astype(np.float32)
    before = [a.copy() for a in (uniforms, log_odds, bias, gates, gradient)]
    blank = np.zeros((4, 7), np.float32)
    kernels.sample_gates(uniforms, log_odds, *blank[:3])
    kernels.activate_(kernels.TANH, blank[:2], bias, gates)
    kernels.differentiate_(kernels.TANH, blank[:2], blank[2:], gates)
    kernels.output_loss_(
        kernels.LOGISTIC_LOSS,
        np.float32(0),
        blank[:1],
        bias,
        gates[None],
        np.float32(0.5),
        np.zeros(1),
    )
    kernels.adam_step_(*blank[:3], gradient, *[np.float32(0.5)] * 5)
    kernels.sgd_step_(*blank[:2], gradient, np.float32(0.5), np.float32(0.5), True, np.float32(0))
    for a, b in zip((uniforms, log_odds, bias, gates, gradient), before, strict=True):
        np.testing.assert_array_equal(a, b)


# --- subnormal numbers ---------------------------------------------------------------


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

    @jit.kernel(cache=False)
    def halved(values):
        before = jit.flush_begin()
        for k in range(len(values)):
            values[k] *= np.float32(0.5)
        jit.flush_end(before)

    values = np.array([SUBNORMAL, np.finfo(np.float32).tiny, 1.0], np.float32)
    halved(values)
    np.testing.assert_array_equal(values, [0, 0, 0.5])
    assert subnormals_work()


# Heard where the JIT is off.
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("x", [1.0, np.inf], ids=["finite", "diverging"])
def test_training_restores_subnormal_numbers(x):
    problem = small.problem((5, 3, 2), n_rows=4, batch_size=4, dark=0)
    problem.X[:] = x
    buffers = small.buffers_of(problem)
    if np.isfinite(x):
        small.run(buffers, problem, naive.Settings())
    else:
        with pytest.raises(small.NotFiniteError):
            small.run(buffers, problem, naive.Settings())
    assert subnormals_work()


def test_training_lets_no_moment_become_subnormal():
    problem = small.problem((9, 5, 2), gated=(False, False), dark=0.5, n_rows=4, batch_size=4)
    buffers = small.buffers_of(problem)
    dark = ~problem.X.any(axis=0)
    first = small.per_parameter(buffers, "first", "gate_first")[0]
    first[dark] = 2 * np.finfo(np.float32).tiny
    for _ in range(10):
        small.run(buffers, problem, naive.Settings())
    assert dark.sum() == 4
    assert not first[dark].any()
