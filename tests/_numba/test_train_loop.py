"""The compiled training loop against the naive reference, for the same draws.

float32 rounds to 6e-8, and sums of up to a hundred terms of both signs lose a few more bits:
gradients agree to 1e-5 of their array's largest entry. Ten steps add up to 1e-4. Adam divides by
the gradient's own size, which blows the rounding of tiny gradients up to the size of a step;
an epsilon of 1e-3 keeps it smooth (the default is tested on the kernel alone).
"""

import copy
import itertools
from dataclasses import replace

import naive
import numpy as np
import problems
import pytest
from scipy.sparse import csr_array

from fastl0._kernels import RowSource
from fastl0.kernel_api.codes import ACTIVATIONS
from fastl0.model.network import Network, fold_gates
from fastl0.training.buffer_layout import DRAWS_AHEAD
from fastl0.training.config import TrainingConfig, TrainingData
from fastl0.training.threads import ThreadTeam, ThreadTuner
from fastl0.training.trainer import Trainer

GRADIENTS, TEN_STEPS = 1e-5, 1e-4
OUTPUTS = {"softmax": ("softmax", 5), "binary": ("logistic", 1), "multilabel": ("logistic", 3)}
GATES = {"everywhere": (True, True, True), "hidden": (False, True, True), "none": (False,) * 3}
ADAM = naive.Settings("adam", epsilon=1e-3, alpha=0.3, lam=0.002)
SGD = naive.Settings("sgd", nesterov=False, epsilon=1e-3, alpha=0.3, lam=0.002)
NESTEROV = naive.Settings("sgd", nesterov=True, epsilon=1e-3, alpha=0.3, lam=0.002)
#: Kinds of penalty, and the factor on the price of inputs.
PENALTIES = {
    "fan_out": {"penalty": "fan_out"},
    "size": {"penalty": "size", "input_price": 1.0},
    "dear_inputs": {"penalty": "size", "input_price": 3.0},
}
PRICED_BY_SIZE = replace(ADAM, **PENALTIES["dear_inputs"])
SETTINGS = {"adam": ADAM, "sgd": SGD, "nesterov": NESTEROV, "adam_by_size": PRICED_BY_SIZE}
ODD_WIDTHS = [(1, 1), (1, 2), (13, 1), (1, 11, 2), (31, 1, 3), (19, 7, 1, 5), (23, 17, 11, 13, 2)]
ONE_STEP = naive.Settings("sgd", lam=0.01)


def assert_gradients_agree(problem, state, settings=ONE_STEP):
    loss, found, active = problems.one_step_gradients(problem, settings)
    weights, n = problem.network.weights, 2 * len(problem.network.weights)
    problems.assert_close(found[:n], state.gradients[:n], GRADIENTS)
    # That of a gate is a sum over its weights, which may cancel: rounding goes by its terms.
    gated = [layer for layer, has_gates in enumerate(problem.gated) if has_gates]
    for layer, own, expected in zip(gated, found[n:], state.gradients[n:], strict=True):
        terms = np.abs(weights[layer] * state.gradients[2 * layer]).sum(axis=1)
        problems.assert_close([own], [expected], GRADIENTS, floor=max(1e-6, terms.max()))
    np.testing.assert_allclose(loss, state.loss, rtol=1e-5)
    return active


# --- the reference itself ------------------------------------------------------------


@pytest.mark.parametrize("penalty", ["fan_out", "size"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_gradients_of_the_reference_are_central_differences(activation, outputs, penalty):
    loss, n_outputs = OUTPUTS[outputs]
    problem, _ = problems.off_kinks(
        (5, 4, 3, n_outputs),
        activation,
        loss,
        closed=0.2,
        n_rows=3,
        batch_size=3,
        settings=ONE_STEP,
        margin=1e-3,
    )
    network, lam, step = problem.network, 0.05, 1e-5
    per_layer = naive.prices(network, penalty)
    _, gradients = naive.backward(
        network, problem.X, problem.targets, problem.uniforms[0], lam, per_layer
    )
    arrays = network.arrays()
    differences = [np.zeros_like(a) for a in arrays]
    for number, array in enumerate(arrays):
        for place in np.ndindex(array.shape):
            sides = []
            for sign in (-1, 1):
                moved = copy.deepcopy(arrays)
                moved[number][place] += sign * step
                sides.append(
                    naive.objective(
                        network.like(moved),
                        problem.X,
                        problem.targets,
                        problem.uniforms[0],
                        0.0,
                        lam,
                        penalty,
                    )
                )
            differences[number][place] = (sides[1] - sides[0]) / (2 * step)
    assert all(np.any(g) for g in gradients)
    problems.assert_close(gradients, differences, 1e-7)


def test_weight_decay_of_the_reference_is_a_central_difference():
    problem = problems.problem((3, 2), n_rows=5, batch_size=5)
    network, alpha, step = problem.network, 0.7, 1e-5
    values = []
    for sign in (-1, 1):
        moved = copy.deepcopy(network.arrays())
        moved[0][1, 1] += sign * step
        moved[1][1] += sign * step
        with_decay, without = (
            naive.objective(
                network.like(moved), problem.X, problem.targets, problem.uniforms[0], a, 0.0
            )
            for a in (alpha, 0.0)
        )
        values.append(with_decay - without)
    expected = alpha / 5 * network.weights[0][1, 1]
    np.testing.assert_allclose((values[1] - values[0]) / (2 * step), expected, rtol=1e-6)


# --- gradients -----------------------------------------------------------------------


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_loss_and_every_gradient_agree(activation, outputs, gates, penalty):
    loss, n_outputs = OUTPUTS[outputs]
    settings = replace(ONE_STEP, **PENALTIES[penalty])
    problem, state = problems.off_kinks(
        (23, 17, 11, n_outputs),
        activation,
        loss,
        gated=GATES[gates],
        n_rows=13,
        batch_size=13,
        settings=settings,
    )
    assert all(np.any(g) for g in state.gradients)
    assert_gradients_agree(problem, state, settings)


@pytest.mark.parametrize("widths", ODD_WIDTHS, ids=str)
@pytest.mark.parametrize("n_rows", [1, 2, 31])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_gradients_agree_at_odd_shapes(activation, n_rows, widths):
    loss = "logistic" if widths[-1] % 2 else "softmax"
    problem, state = problems.off_kinks(
        widths, activation, loss, n_rows=n_rows, batch_size=n_rows, settings=ONE_STEP
    )
    assert_gradients_agree(problem, state)


@pytest.mark.parametrize("closed", list(itertools.product((None, 0.7), repeat=3)))
@pytest.mark.parametrize("activation", ["relu", "logistic"])
def test_products_are_compact_where_gates_are_closed_and_gradients_agree(activation, closed):
    widths = (40, 30, 20, 5)
    problem, state = problems.off_kinks(
        widths, activation, closed=closed, dark=0, n_rows=17, batch_size=17, settings=ONE_STEP
    )
    active = assert_gradients_agree(problem, state)
    for n, width, share in zip(active, widths, closed, strict=False):
        assert n == width if share is None else 0 < n <= 0.5 * width


@pytest.mark.parametrize("gated", [(True, True), (False, True), (False, False)])
def test_products_leave_out_columns_that_are_zero_in_the_whole_mini_batch(gated):
    problem, state = problems.off_kinks(
        (40, 30, 5),
        gated=gated,
        closed=None,
        dark=0.25,
        n_rows=17,
        batch_size=17,
        settings=ONE_STEP,
    )
    assert assert_gradients_agree(problem, state) == [np.any(problem.X, axis=0).sum(), 30]
    assert np.any(problem.X, axis=0).sum() <= 30


@pytest.mark.parametrize("layers", list(itertools.product((False, True), repeat=3)))
def test_gradients_agree_when_all_gates_of_a_layer_are_closed(layers):
    closed = tuple(1.0 if shut else None for shut in layers)
    problem = problems.problem((9, 8, 7, 3), closed=closed, n_rows=5, batch_size=5)
    problem.uniforms[:] = 0.5
    state = problems.trained(problem, ONE_STEP)
    assert state.distance_to_kinks > 1e-4
    active = assert_gradients_agree(problem, state)
    for n, width, shut in zip(active[1:], (8, 7), layers[1:], strict=True):
        assert n == (1 if shut else width)


def test_a_column_that_lights_up_while_nobody_looks_for_dark_ones_is_read():
    problem = problems.problem((31, 5), n_rows=21, batch_size=7)
    problem.X[problem.X == 0] = 0.5
    problem.X[:7, 13] = 0
    problem.network.log_odds[0][13] = 3.0
    state = problems.trained(problem, ADAM)
    assert state.distance_to_kinks > 1e-4
    buffers = assert_runs_agree(problem, state, ADAM)
    assert buffers.arrays()["nonzero_pause"][0] > 0
    assert problems.n_active(buffers)[0] < 31


def test_gradients_agree_on_an_all_black_mini_batch():
    problem = problems.problem((9, 8, 3), "tanh", dark=1, n_rows=5, batch_size=5)
    assert not problem.X.any()
    assert assert_gradients_agree(problem, problems.trained(problem, ONE_STEP))[0] == 1


# --- whole runs ----------------------------------------------------------------------


def assert_runs_agree(problem, state, settings, X=None):
    buffers = problems.buffers_of(problem, settings)
    loss = problems.run(buffers, problem, settings, X)
    n_weights = 2 * len(problem.network.weights)
    problems.assert_close(problems.parameters(buffers), state.network.arrays(), TEN_STEPS)
    first = problems.per_parameter(buffers, "first", "gate_first")
    problems.assert_close(first, state.first, TEN_STEPS, floor=1e-3)
    second = [v for v in buffers.per_layer("gate_second") if v is not None]
    if settings.solver == "adam":
        second = problems.per_parameter(buffers, "second", "gate_second")
    # Of squares: twice the relative error of what is squared.
    problems.assert_close(second, state.second[len(first) - len(second) :], 2 * TEN_STEPS)
    np.testing.assert_allclose(loss, state.loss, rtol=TEN_STEPS)
    arrays = buffers.arrays()
    np.testing.assert_array_equal(arrays["on_count"], state.on_count)
    np.testing.assert_allclose(arrays["on_sum"], state.on_sum, rtol=1e-5)
    assert arrays["step"][0] == len(problem.uniforms)
    assert n_weights <= len(first)
    return buffers


@pytest.mark.parametrize("solver", SETTINGS)
@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("outputs", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_parameters_and_moments_agree_after_ten_steps(activation, outputs, gates, solver):
    loss, n_outputs = OUTPUTS[outputs]
    settings = SETTINGS[solver]
    problem, state = problems.off_kinks(
        (17, 13, 7, n_outputs),
        activation,
        loss,
        gated=GATES[gates],
        n_rows=57,
        batch_size=6,
        settings=settings,
        margin=3e-5,
    )
    assert len(problem.uniforms) == 10
    assert len(problem.X) % 6 == 3
    assert_runs_agree(problem, state, settings)


@pytest.mark.parametrize("widths", ODD_WIDTHS, ids=str)
@pytest.mark.parametrize("solver", ["adam", "nesterov"])
def test_runs_agree_at_odd_widths_with_a_last_mini_batch_of_one_row(solver, widths):
    loss = "logistic" if widths[-1] % 2 else "softmax"
    settings = SETTINGS[solver]
    problem, state = problems.off_kinks(
        widths, "relu", loss, n_rows=29, batch_size=7, settings=settings, margin=3e-5
    )
    assert_runs_agree(problem, state, settings)


@pytest.mark.parametrize("solver", ["adam", "nesterov"])
def test_runs_agree_on_compact_products(solver):
    settings = SETTINGS[solver]
    problem, state = problems.off_kinks(
        (41, 31, 23, 5), closed=0.6, n_rows=57, batch_size=6, settings=settings, margin=3e-5
    )
    active = problems.n_active(assert_runs_agree(problem, state, settings))
    assert all(n <= 0.7 * width for n, width in zip(active, problem.widths, strict=False))


@pytest.mark.parametrize("closed", [None, 0.1, 0.6])
@pytest.mark.parametrize("solver", SETTINGS)
@pytest.mark.parametrize("gates", GATES)
def test_runs_agree_row_by_row(gates, solver, closed):
    settings = SETTINGS[solver]
    problem, state = problems.off_kinks(
        (41, 31, 23, 3), gated=GATES[gates], closed=closed, n_rows=10, batch_size=1,
        settings=settings, margin=3e-5,
    )  # fmt: skip
    active = problems.n_active(assert_runs_agree(problem, state, settings))
    if closed == 0.6 and all(problem.gated):
        assert all(n <= 0.7 * width for n, width in zip(active, problem.widths, strict=False))


def test_log_odds_stay_within_their_clamp():
    settings = naive.Settings(gate_rate=5.0, epsilon=1e-3, lam=1.0)
    problem, state = problems.off_kinks((7, 5, 2), settings=settings, margin=3e-5)
    buffers = assert_runs_agree(problem, state, settings)
    assert buffers.arrays()["log_odds"].min() == np.float32(-4.605)


def test_csr_rows_train_the_same_network_as_dense_rows():
    problem = problems.problem((41, 31, 5))
    results = []
    for X in (problem.X, csr_array(problem.X), problem.X.astype(np.float32)):
        buffers = problems.buffers_of(problem)
        problems.run(buffers, problem, ADAM, X)
        results.append(buffers.arrays()["theta"].copy())
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_a_loss_that_is_not_finite_changes_no_parameter():
    problem = problems.problem((5, 3, 2), closed=None, dark=0)
    problem.X[9] = np.inf
    buffers = problems.buffers_of(problem)
    with pytest.raises(problems.NotFiniteError):
        problems.run(buffers, problem, ADAM)
    assert buffers.arrays()["step"][0] == 1
    first = problem.with_uniforms(problem.uniforms[:1])
    first.X, first.targets = problem.X[:7], problem.targets[:7]
    expected = problems.buffers_of(first)
    problems.run(expected, first, ADAM)
    problems.assert_close(problems.parameters(buffers), problems.parameters(expected), 0)


# --- epochs --------------------------------------------------------------------------


class Uniforms:
    """Stands in for the generator: deals out the rows of a table."""

    def __init__(self, table):
        self.table = table
        self.dealt = 0

    def random(self, out, dtype):
        assert dtype == np.float32
        out[:] = self.table[self.dealt : self.dealt + len(out)]
        self.dealt += len(out)


def plan(problem, settings, **changes):
    values = {
        "activation": problem.network.activation,
        "solver": settings.solver,
        "alpha": settings.alpha,
        "batch_size": problem.batch_size,
        "dynamic_batch_size": False,
        "learning_rate": "constant",
        "learning_rate_init": settings.rate,
        "power_t": 0.5,
        "max_iter": 5,
        "shuffle": False,
        "tol": 0.0,
        "momentum": settings.momentum,
        "nesterovs_momentum": settings.nesterov,
        "early_stopping": False,
        "beta_1": settings.beta_1,
        "beta_2": settings.beta_2,
        "epsilon": settings.epsilon,
        "n_iter_no_change": 5,
        "lam": settings.lam * len(problem.X),
        "target": 0,
        "memory_limit": 0,
        "penalty": settings.penalty,
        "input_price": settings.input_price,
        "finetune_fraction": 0.0,
        "pruning": "soft",
        "prune_threshold": 0.5,
        "gate_learning_rate": "constant",
        "gate_learning_rate_init": settings.gate_rate,
        "droprate_init": (0.2, 0.5),
        "out_activation": problem.network.loss,
        "loss": problem.network.loss,
        "loss_parameter": 0.0,
        "input_cost": 0,
    }
    return TrainingConfig(**{**values, **changes})


def data(problem, rows=()):
    """All rows of a problem as they come, or those in `rows`."""
    rows = np.array(rows, np.int32)
    n_rows = len(rows) or len(problem.X)
    return TrainingData(
        RowSource(problem.X), RowSource(problem.targets), n_rows, rows, float(n_rows)
    )


def run_epoch(trainer, data, rate):
    """Run an epoch on one thread."""
    with ThreadTeam(1) as crew:
        return trainer.run_epoch(data, rate, crew, ThreadTuner(1))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("pruning", ["soft", "hard", "none"])
@pytest.mark.parametrize("gate_inputs", [True, False])
def test_an_epoch_agrees_and_returns_the_objective(pruning, gate_inputs, penalty):
    settings = replace(ADAM, **PENALTIES[penalty])
    gated = (gate_inputs and pruning != "none", pruning != "none")
    problem, _ = problems.off_kinks(
        (7, 5, 2),
        gated=gated,
        closed=0.2,
        n_rows=2 * DRAWS_AHEAD + 7,
        batch_size=2,
        settings=settings,
        margin=3e-5,
    )
    planned = plan(problem, settings, pruning=pruning)
    trainer = Trainer(planned, problems.layout_of(problem), np.random.default_rng(0))
    trainer.pruner.gates_held_open = False
    problems.fill(trainer.buffers, problem)
    trainer._rng = Uniforms(problem.uniforms)
    upside_down = np.arange(len(problem.X))[::-1]
    problem.X, problem.targets = problem.X[::-1].copy(), problem.targets[::-1].copy()
    state = problems.trained(problem, settings)
    assert state.distance_to_kinks > 1e-5
    problem.X, problem.targets = problem.X[::-1].copy(), problem.targets[::-1].copy()
    loss, shrunk = run_epoch(trainer, data(problem, upside_down), settings.rate)
    assert not shrunk
    assert trainer._rng.dealt == len(problem.uniforms) > DRAWS_AHEAD
    problems.assert_close(problems.parameters(trainer.buffers), state.network.arrays(), TEN_STEPS)
    n_rows = len(problem.X)
    squares = sum(np.sum(w**2) for w in state.network.weights)
    decay = settings.alpha / 2 * squares * len(problem.uniforms) / n_rows
    size = naive.penalty(state.network, settings.penalty, settings.input_price)
    size = size if any(gated) else 0.0
    expected = state.loss / n_rows + settings.lam * size + decay
    np.testing.assert_allclose(loss, expected, rtol=TEN_STEPS)


def hard_run(seed, settings, n_epochs=4):
    """What the reference does with deletions, and the uniform numbers it was given."""
    problem = problems.problem((13, 11, 9, 3), closed=0.3, n_rows=61, batch_size=3, seed=seed)
    rng = np.random.default_rng(seed)
    state = naive.State(copy.deepcopy(problem.network))
    columns, tables, widths = np.arange(13), [], []
    for _ in range(n_epochs):
        if tables:
            keep, start = [], 0
            for a in state.network.log_odds:
                stop = start + len(a)
                on_sum = state.on_sum[start:stop]
                stays = np.maximum(state.on_count[start:stop], on_sum) >= 0.5 * len(tables[0])
                n_least = len(a) - len(a) // 2
                if stays.sum() < n_least:
                    stays[np.argsort(-on_sum, kind="stable")[:n_least]] = True
                keep.append(stays)
                start = stop
            columns = columns[keep[0]]
            naive.shrink(state, keep)
        n_gates = sum(len(a) for a in state.network.log_odds)
        tables.append(problems.single(rng.uniform(0.02, 0.98, (21, n_gates))))
        naive.train(state, problem.X[:, columns], problem.targets, 3, tables[-1], settings)
        widths.append([len(w) for w in state.network.weights])
    return problem, state, columns, tables, widths


@pytest.mark.usefixtures("decided_each_epoch")
@pytest.mark.parametrize("solver", ["adam", "nesterov", "adam_by_size"])
def test_runs_with_deletions_agree(solver):
    settings = replace(SETTINGS[solver], gate_rate=0.2, alpha=0.1, lam=0.01)
    runs = (hard_run(seed, settings) for seed in range(50))
    problem, state, columns, tables, widths = next(
        run for run in runs if run[1].distance_to_kinks > 3e-5
    )
    assert all(after < before for before, after in zip(widths[0], widths[-1], strict=True))
    assert len({tuple(w) for w in widths}) > 2
    planned = plan(problem, settings, pruning="hard")
    layout = problems.layout_of(problem, settings.solver)
    trainer = Trainer(planned, layout, np.random.default_rng(0))
    trainer.pruner.gates_held_open = False
    problems.fill(trainer.buffers, problem)
    for epoch, table in enumerate(tables):
        trainer._rng = Uniforms(table)
        run_epoch(trainer, data(problem), settings.rate)
        assert list(trainer.buffers.widths[:-1]) == widths[epoch]
    np.testing.assert_array_equal(trainer.buffers.columns, columns)
    problems.assert_close(problems.parameters(trainer.buffers), state.network.arrays(), TEN_STEPS)
    first = problems.per_parameter(trainer.buffers, "first", "gate_first")
    problems.assert_close(first, state.first, TEN_STEPS, floor=1e-3)
    np.testing.assert_array_equal(trainer.buffers.arrays()["on_count"], state.on_count)


# --- gates that are held open ------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 7])
def test_gates_that_are_held_open_note_their_derivatives_and_stay(batch_size, monkeypatch):
    """All are 1, whatever the draws say; dL/dz goes into their moments."""
    settings = replace(ADAM, lam=0.0)
    problem = problems.problem((23, 17, 19, 5), n_rows=batch_size, batch_size=batch_size)
    all_open = naive.Network(
        problem.network.weights,
        problem.network.biases,
        [np.full(len(a), 30.0) for a in problem.network.log_odds],
    )
    monkeypatch.setattr(
        naive, "draw", lambda network, _: ([np.ones(len(w)) for w in network.weights],) * 2
    )
    loss, gradients = naive.backward(all_open, problem.X, problem.targets, None)
    buffers = problems.buffers_of(problem, settings)
    before = buffers.arrays()["log_odds"].copy()
    assert problems.run(buffers, problem, settings, held_open=True) == pytest.approx(loss, rel=1e-5)
    np.testing.assert_array_equal(buffers.arrays()["log_odds"], before)
    expected = np.concatenate(gradients[-3:])
    assert np.count_nonzero(expected) > 20
    found = buffers.arrays()
    problems.assert_close([found["gate_gradient"]], [expected], GRADIENTS)
    keep_1, keep_2 = (float(np.float32(1) - np.float32(beta)) for beta in (0.9, 0.999))
    problems.assert_close([found["gate_first"]], [keep_1 * expected], GRADIENTS)
    # Twice the error of what is squared, and that of 1 - 0.999 in float32, however it is fused.
    problems.assert_close([found["gate_second"]], [keep_2 * expected**2], 5 * GRADIENTS, floor=0.0)
    np.testing.assert_array_equal(found["on_count"], 1)
    np.testing.assert_array_equal(found["on_sum"], 1.0)


# --- deleting units ------------------------------------------------------------------


def deletable(widths=(23, 17, 11, 5), **keywords):
    """A problem of one mini-batch, and which units stay; gates of the others are closed in it."""
    problem = problems.problem(widths, n_rows=13, batch_size=13, **keywords)
    keep = [np.ones(width, dtype=bool) for width in widths]
    for number, (stays, a) in enumerate(zip(keep, problem.network.log_odds, strict=False)):
        stays[number :: 2 + number] = False
        a[~stays] = problems.single(np.random.default_rng(number).uniform(-4.5, -4.0, sum(~stays)))
        a[stays] = np.maximum(a[stays], -0.5)
    problem.uniforms = problems.single(
        np.random.default_rng(1).uniform(0.1, 0.9, (1, sum(widths[:-1])))
    )
    return problem, keep


def warmed_up(problem, settings):
    """Buffers whose moments are not zero, closed units' included."""
    buffers = problems.buffers_of(problem, settings)
    problems.run(buffers, problem.with_uniforms(0 * problem.uniforms + 0.97), settings)
    return buffers


@pytest.mark.parametrize("solver", SETTINGS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_shrink_then_step_equals_step_then_shrink(activation, solver):
    settings = SETTINGS[solver]
    problem, keep = deletable(activation=activation)
    flags = np.concatenate(keep[:-1])
    buffers = [warmed_up(problem, settings) for _ in range(2)]
    for closed in (b.arrays()["gate_first"][~flags] for b in buffers):
        assert np.all(closed != 0)
    problems.run(buffers[0], problem, settings)
    assert not np.any(buffers[0].arrays()["gate_value"][~flags])
    buffers[0].shrink(keep[:-1])
    buffers[1].shrink(keep[:-1])
    kept = problem.with_uniforms(problem.uniforms[:, flags])
    problems.run(buffers[1], kept, settings)
    for name in ("theta", "first", "second", "log_odds", "gate_first", "gate_second"):
        after, before = (b.arrays()[name] for b in buffers)
        problems.assert_close([after], [before], 1e-6)


def test_shrinking_leaves_the_deterministic_outputs_unchanged():
    problem, keep = deletable()
    buffers = problems.buffers_of(problem)

    def outputs(buffers):
        layers = [buffers.layer(index) for index in range(3)]
        coefs, intercepts, kept = fold_gates(layers, buffers.per_layer("log_odds"))
        support = np.zeros(problem.widths[0], dtype=bool)
        support[buffers.columns[kept]] = True
        return Network(coefs, intercepts, support, "relu", "softmax").outputs(problem.X)

    before = outputs(buffers)
    gates = [np.clip(1.2 * naive.sigmoid(a) - 0.1, 0, 1) for a in problem.network.log_odds]
    assert all(not np.any(z[~stays]) for z, stays in zip(gates, keep, strict=False))
    logits = naive.forward(problem.network, problem.X, gates)[1][-1]
    np.testing.assert_allclose(before, naive.softmax(logits, axis=1), rtol=1e-4)
    buffers.shrink(keep[:-1])
    np.testing.assert_array_equal(outputs(buffers), before)
