import itertools
import math

import naive
import numpy as np
import problems
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastl0 import HardL0MLPClassifier
from fastl0.estimators import build_config
from fastl0.model.network import count_parameters
from fastl0.training import criteria, epoch_runner, pruner
from fastl0.training.criteria import (
    MAX_SHARE_AT_ONCE,
    MIN_DRAWS,
    TOLERANCE,
    expected_penalty,
    l0_gradient,
    select_by_sensitivity,
    select_by_size,
    select_units,
)

pytestmark = pytest.mark.filterwarnings("ignore:Training stopped at max_iter")


def counts(*numbers):
    return np.array(numbers, dtype=np.int64)


def sums(*numbers):
    return np.array(numbers, dtype=float)


# --- prices --------------------------------------------------------------------------


KINDS = [("fan_out", 1.0), ("fan_out", 3.0), ("size", 1.0), ("size", 3.0), ("size", 0.0)]


def test_by_fan_out_a_unit_costs_the_weights_that_leave_it():
    found = l0_gradient("fan_out", [1.5, 1, 2, 4], [3, 2, 5, 4], [True, True, True], 3.0)
    np.testing.assert_array_equal(found, [2, 2, 2, 5, 5, 4, 4, 4, 4, 4])
    assert found.dtype == np.float32


def test_by_size_a_unit_costs_what_joins_it_to_open_units_and_its_bias():
    found = l0_gradient("size", [1.5, 1, 2.5, 4], [3, 2, 5, 4], [True, True, True], 1.0)
    np.testing.assert_array_equal(found, [1, 1, 1, 5, 5, 6, 6, 6, 6, 6])
    assert found.dtype == np.float32


def test_the_surcharge_is_on_the_price_of_inputs():
    plain, dear = (
        l0_gradient("size", [1.5, 1, 2.5, 4], [3, 2, 5, 4], [True, True, True], surcharge)
        for surcharge in (1.0, 2.5)
    )
    np.testing.assert_allclose(dear[:3], 2.5 * plain[:3])
    np.testing.assert_array_equal(dear[3:], plain[3:])


@pytest.mark.parametrize(
    ("kind", "gated", "expected"),
    [
        ("fan_out", (False, True), [4, 4]),
        ("fan_out", (True, False), [2, 2, 2]),
        ("fan_out", (False, False), []),
        ("size", (False, True), [8, 8]),
        ("size", (True, False), [6, 6, 6]),
        ("size", (False, False), []),
    ],
)
def test_only_gated_units_have_a_price(kind, gated, expected):
    found = l0_gradient(kind, [3, 2, 4], [3, 2, 4], gated, 3.0)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float32


def terms(problem, kind, surcharge):
    """Arguments of `prices` and `expected_penalty` for a network as it is."""
    units = naive.expected_units(problem.network)
    return kind, units, problem.widths, problem.gated, surcharge


@pytest.mark.parametrize("gated", list(itertools.product((True, False), repeat=3)))
@pytest.mark.parametrize(("kind", "surcharge"), KINDS)
def test_prices_and_the_penalty_are_those_of_the_formulas(kind, surcharge, gated):
    problem = problems.problem((7, 5, 3, 2), gated=gated)
    per_layer = naive.prices(problem.network, kind, surcharge)
    expected = [
        np.full(w, p) for w, p, g in zip(problem.widths, per_layer, gated, strict=False) if g
    ]
    found = l0_gradient(*terms(problem, kind, surcharge))
    np.testing.assert_allclose(found, np.concatenate([[], *expected]), rtol=1e-6)
    np.testing.assert_allclose(
        expected_penalty(*terms(problem, kind, surcharge)),
        naive.penalty(problem.network, kind, surcharge),
        rtol=1e-12,
    )


@pytest.mark.parametrize("kind", ["fan_out", "size"])
def test_prices_are_derivatives_of_the_expected_size(kind):
    problem = problems.problem((7, 5, 3, 2))
    network, step, found = problem.network, 1e-5, []
    for layer, a in enumerate(network.log_odds):
        for j in range(len(a)):
            sides = []
            for sign in (-1, 1):
                moved = [x.copy() for x in network.log_odds]
                moved[layer][j] += sign * step
                arrays = network.arrays()[: 2 * len(network.weights)] + moved
                sides.append(naive.penalty(network.like(arrays), kind))
            pi = naive.sigmoid(a[j] + naive.C)
            found.append((sides[1] - sides[0]) / (2 * step) / (pi * (1 - pi)))
    np.testing.assert_allclose(l0_gradient(*terms(problem, kind, 1.0)), found, rtol=1e-6)


# --- decisions -----------------------------------------------------------------------


def test_a_unit_goes_that_was_on_too_seldom_by_count_and_by_expectation():
    on_count, on_sum = counts(4, 4, 6, 6), sums(4.0, 6.0, 4.0, 6.0)
    np.testing.assert_array_equal(
        select_units(on_count, on_sum, 10, 0.5), [False, True, True, True]
    )


def test_a_unit_that_is_on_just_as_often_as_the_threshold_stays():
    keep = select_units(counts(5, 4), sums(5.0, math.nextafter(5, 0)), 10, 0.5)
    np.testing.assert_array_equal(keep, [True, False])


@pytest.mark.parametrize("on_sum", [(0.1, 0.3), (0.0, 0.0)])
def test_a_layer_keeps_its_best_unit(on_sum):
    keep = select_units(counts(1, 0), sums(*on_sum), 10, 0.5)
    assert keep.sum() == 1
    assert keep[np.argmax(on_sum)]
    np.testing.assert_array_equal(select_units(counts(0), sums(0.0), 10, 0.5), [True])


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.floats(0, 1))
def test_no_more_than_a_share_of_a_layer_goes_at_once_the_most_seldom_on_first(on_sum, threshold):
    on_sum = np.array(on_sum)
    keep = select_units(np.zeros(len(on_sum), np.int64), on_sum, 10, threshold)
    n_gone = np.count_nonzero(~keep)
    assert n_gone <= MAX_SHARE_AT_ONCE * len(keep)
    assert np.all(on_sum[~keep] < threshold * 10)
    assert on_sum[~keep].max(initial=-1) <= on_sum[keep].min()
    below = np.count_nonzero(on_sum < threshold * 10)
    assert n_gone == min(below, int(MAX_SHARE_AT_ONCE * len(keep)))


def test_in_the_long_run_all_units_but_one_go():
    n_units, n_decisions = 1000, 0
    while n_units > 1:
        zeros = np.zeros(n_units)
        n_units = int(select_units(zeros.astype(np.int64), zeros, 10, 0.5).sum())
        n_decisions += 1
        assert n_decisions <= 11
    assert n_units == 1


@pytest.mark.parametrize("n_units", [1, 2, 31])
def test_threshold_zero_keeps_all_units(n_units):
    zeros = np.zeros(n_units)
    assert select_units(zeros.astype(np.int64), zeros, 10, 0.0).all()


def test_threshold_one_keeps_the_units_that_were_always_on():
    np.testing.assert_array_equal(
        select_units(counts(10, 9, 0, 10), sums(9.9, 9.9, 9.9, 9.9), 10, 1.0),
        [True, False, False, True],
    )


def test_decisions_leave_the_tallies_alone():
    on_count, on_sum = counts(1, 9), sums(1.0, 9.0)
    select_units(on_count, on_sum, 10, 0.5)
    np.testing.assert_array_equal(on_count, [1, 9])
    np.testing.assert_array_equal(on_sum, [1.0, 9.0])


# --- cutting to a size ---------------------------------------------------------------


@st.composite
def cuts(draw):
    """Random log-odds of every set, widths, and a size between the smallest and the largest."""
    widths = draw(st.lists(st.integers(1, 40), min_size=2, max_size=5))
    gated = draw(st.lists(st.booleans(), min_size=len(widths) - 1, max_size=len(widths) - 1))
    gated[draw(st.integers(0, len(gated) - 1))] = True
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread, steps = draw(st.sampled_from([0.0, 0.1, 2.0])), draw(st.sampled_from([0, 1]))
    log_odds = [
        (rng.normal(rng.normal(0, spread), 1.0, width).round(steps)).astype(np.float32)
        if has_gates
        else None
        for width, has_gates in zip(widths, gated, strict=False)
    ]
    smallest, largest = bounds(log_odds, widths)
    return log_odds, widths, draw(st.integers(smallest, largest))


def bounds(log_odds, widths):
    ones = [width if a is None else 1 for a, width in zip(log_odds, widths, strict=False)]
    return count_parameters([*ones, widths[-1]]), count_parameters(widths)


def size_of(keep, widths):
    return count_parameters([*(int(flags.sum()) for flags in keep), widths[-1]])


def largest_within(log_odds, widths, size):
    """The most parameters up to `size` of any counts of units."""
    ranges = [
        [width] if a is None else range(1, width + 1)
        for a, width in zip(log_odds, widths, strict=False)
    ]
    sizes = (count_parameters([*counts, widths[-1]]) for counts in itertools.product(*ranges))
    return max(n for n in sizes if n <= size)


@given(cuts())
def test_a_cut_network_is_no_larger_than_it_shall_be_and_keeps_the_likeliest_units(cut):
    log_odds, widths, size = cut
    before = [None if a is None else a.copy() for a in log_odds]
    keep = select_by_size(log_odds, widths, size)
    assert [flags.shape for flags in keep] == [(width,) for width in widths[:-1]]
    assert all(flags.dtype == bool for flags in keep)
    assert size_of(keep, widths) <= size
    for flags, a, old in zip(keep, log_odds, before, strict=True):
        assert flags.any()
        if a is None:
            assert flags.all()
        else:
            assert a[flags].min() >= a[~flags].max(initial=-np.inf)
            np.testing.assert_array_equal(a, old)


@given(cuts())
def test_no_unit_that_went_would_have_had_room(cut):
    log_odds, widths, size = cut
    keep = select_by_size(log_odds, widths, size)
    found = size_of(keep, widths)
    if found >= (1 - TOLERANCE) * size:
        return
    for layer, flags in enumerate(keep):
        if not flags.all():
            more = [int(f.sum()) for f in keep] + [widths[-1]]
            more[layer] += 1
            assert count_parameters(more) > size


@pytest.mark.parametrize("widths", [(9, 7, 4), (12, 10), (6, 5, 4, 3), (15, 3, 8), (3, 16, 2, 5)])
@pytest.mark.parametrize("spread", [0.0, 3.0])
def test_a_cut_network_is_as_near_to_every_size_as_any_counts_of_units_are(widths, spread):
    rng = np.random.default_rng([*widths, int(spread)])
    log_odds = [rng.normal(rng.normal(0, spread), 1.0, width) for width in widths[:-1]]
    smallest, largest = bounds(log_odds, widths)
    for size in range(smallest, largest + 1):
        found = size_of(select_by_size(log_odds, widths, size), widths)
        most = largest_within(log_odds, widths, size)
        assert found >= min(most, (1 - TOLERANCE) * size)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.3, 0.7, 0.95, 1.0])
@pytest.mark.parametrize("widths", [(784, 300, 100, 10), (64, 100, 10), (900, 2)])
def test_a_large_network_comes_within_the_tolerance(widths, share):
    rng = np.random.default_rng(0)
    log_odds = [rng.normal(rng.normal(0, 2), 1.0, width) for width in widths[:-1]]
    size = int(share * count_parameters(widths))
    found = size_of(select_by_size(log_odds, widths, size), widths)
    assert (1 - TOLERANCE) * size <= found <= size


def test_a_network_within_the_size_stays_as_it_is():
    log_odds = [np.array([-4.0, 4.0]), np.array([4.0, -4.0, 0.0])]
    keep = select_by_size(log_odds, (2, 3, 2), count_parameters((2, 3, 2)))
    assert all(flags.all() for flags in keep)


@pytest.mark.parametrize(
    ("size", "gone"), [(22, []), (15, [6]), (13, [3, 6]), (11, [3, 4, 6]), (9, [1, 3, 4, 6])]
)
def test_units_go_in_the_order_of_their_log_odds_whatever_their_layer(size, gone):
    log_odds = [np.array([3.0, 1.0, 2.0, -1.0, 0.0]), np.array([2.5, -2.0, 1.5])]
    keep = np.concatenate(select_by_size(log_odds, (5, 3, 1), size))
    assert np.flatnonzero(~keep).tolist() == gone


@pytest.mark.parametrize("n_layers", [9, 24])
def test_a_deep_network_is_cut_in_a_bounded_number_of_looks(monkeypatch, n_layers):
    """Two or three ways a layer are as many as there are networks of that depth."""
    n_looks = 0

    def count(widths, input_cost):
        nonlocal n_looks
        n_looks += 1
        assert n_looks < 30_000
        return count_parameters(widths, input_cost)

    monkeypatch.setattr("fastl0.training.criteria.count_parameters", count)
    widths = (50, 3, *[2] * n_layers, 2)
    # The least likely unit is the dearest: without it the network is much smaller than need be.
    log_odds = [None, np.array([1.0, 2.0, 3.0]), *[np.full(2, 4.0)] * n_layers]
    size = count_parameters(widths) - 1
    found = size_of(select_by_size(log_odds, widths, size), widths)
    assert found <= size


# --- in training ---------------------------------------------------------------------


def classifier(**changes):
    settings = {
        "hidden_layer_sizes": (30, 20),
        "batch_size": 10,
        "max_iter": 12,
        "n_iter_no_change": 12,
        "random_state": 0,
        "gate_learning_rate_init": 0.1,
        "lam": 1.0,
        "penalty": "fan_out",
        "finetune_fraction": 0.0,
        "tol": 0.0,
    }
    return HardL0MLPClassifier(**{**settings, **changes})


@pytest.fixture(scope="module")
def X_y():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 20)).astype(np.float32)
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


@pytest.mark.usefixtures("decided_each_epoch")
def test_units_only_ever_go_and_no_layer_empties(X_y):
    widths = np.array(classifier(lam=100.0)._fit(*X_y).history_["n_units"])
    assert np.all(np.diff(widths, axis=0) <= 0)
    np.testing.assert_array_equal(widths[0], [20, 30, 20, 1])
    np.testing.assert_array_equal(widths[-1], [1, 1, 1, 1])


@pytest.mark.usefixtures("decided_each_epoch")
@pytest.mark.parametrize("pruning", ["soft", "none"])
def test_without_hard_pruning_nothing_goes_while_training(X_y, pruning):
    history = classifier(pruning=pruning)._fit(*X_y).history_
    assert set(history["n_units"]) == {(20, 30, 20, 1)}
    assert len(set(history["buffer_nbytes"])) == 1


@pytest.mark.usefixtures("decided_each_epoch")
def test_without_input_gates_every_input_stays(X_y):
    model = classifier(gate_inputs=False, lam=100.0)._fit(*X_y)
    assert model.n_units_[0] == 20
    assert model.history_["n_units"][-1] == (20, 1, 1, 1)


@pytest.mark.usefixtures("decided_each_epoch")
def test_a_deletion_acts_from_the_next_epoch_on(X_y):
    """What is decided on epoch k's tallies is what epoch k + 1 is trained with."""
    seen = []
    original = pruner.Pruner._shrink

    def note(self, keep):
        seen.append([int(k.sum()) for k in keep])
        return original(self, keep)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pruner.Pruner, "_shrink", note)
        history = classifier()._fit(*X_y).history_
    trained = [list(widths[:-1]) for widths in history["n_units"]]
    assert trained[0] == [20, 30, 20]
    assert trained[1:] == seen
    assert trained[-1] != trained[0]


def test_an_interrupted_epoch_leaves_no_tallies_to_prune_by(X_y, monkeypatch):
    model = classifier(max_iter=3, batch_size=1, gate_learning_rate_init=1e-6, warm_start=True)
    original, calls = epoch_runner.train_batches, []
    monkeypatch.setattr(build_config, "usable_threads", lambda: 1)

    def interrupted(*arguments):
        calls.append(None)
        if len(calls) == 9:  # of 7 calls an epoch
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(epoch_runner, "train_batches", interrupted)
        with pytest.warns(UserWarning, match="interrupted"):
            model.fit(*X_y)
    assert model.n_iter_ == 1
    model._fit(*X_y)
    assert set(model.history_["n_units"]) == {(20, 30, 20, 1)}


def test_short_epochs_are_pooled_until_there_are_draws_enough(X_y):
    """20 mini-batches an epoch: decisions come before the 6th epoch and the 11th."""
    widths = classifier(lam=100.0)._fit(*X_y).history_["n_units"]
    n_epochs = MIN_DRAWS // 20
    changes = [k for k in range(1, len(widths)) if widths[k] != widths[k - 1]]
    assert changes == [n_epochs, 2 * n_epochs]


def test_decisions_use_the_draws_of_all_pooled_epochs(X_y, monkeypatch):
    seen, original = [], criteria.select_units

    def note(on_count, on_sum, n_draws, threshold):
        assert np.all(on_count <= n_draws)
        assert np.all(on_sum <= n_draws)
        seen.append((n_draws, int(on_count.max())))
        return original(on_count, on_sum, n_draws, threshold)

    monkeypatch.setattr(criteria, "select_units", note)
    classifier(lam=0.0)._fit(*X_y)
    assert [n_draws for n_draws, _ in seen] == [MIN_DRAWS] * len(seen)
    assert len(seen) == 3 * 2
    assert all(most > MIN_DRAWS / 2 for _, most in seen)


# --- without knowing which units matter --------------------------------------------------


def kept(widths, size, evidence=None):
    """Units that stay of every layer; all gated, with evidence that rises by the number."""
    if evidence is None:
        evidence = [np.arange(1.0, width + 1) for width in widths[:-1]]
    return select_by_sensitivity(evidence, widths, size)


def test_hidden_layers_keep_the_same_share_and_inputs_stay():
    flags = kept((1000, 200, 100, 10), 60_000)
    n_inputs, first, second = (int(k.sum()) for k in flags)
    assert n_inputs == 1000
    assert first / 200 == pytest.approx(second / 100, abs=0.02)
    assert count_parameters((n_inputs, first, second, 10)) <= 60_000


def test_inputs_go_once_hidden_layers_are_down_to_a_quarter():
    n_inputs, first, second = (int(k.sum()) for k in kept((1000, 200, 100, 10), 6_000))
    assert n_inputs / 1000 == pytest.approx(4 * first / 200, abs=0.1)
    assert first / 200 == pytest.approx(second / 100, abs=0.02)


@pytest.mark.parametrize("size", [46, 100, 1000, 5000, 34_110])
def test_a_cut_in_proportion_keeps_to_the_size_and_comes_near_it(size):
    widths = (64, 200, 100, 10)
    counts = [int(k.sum()) for k in kept(widths, size)]
    n_parameters = count_parameters([*counts, 10])
    assert min(counts) >= 1
    dearest = max(counts[1] + 4, counts[0] + 1 + counts[2], counts[1] + 1 + 10)
    assert size - 2 * dearest < n_parameters <= size


def test_those_with_the_most_evidence_stay():
    flags = kept((4, 5, 2), 22, [np.array([3.0, 1, 4, 2]), np.array([0.0, 9, 1, 8, 2])])
    np.testing.assert_array_equal(flags[1], [False, True, False, True, False])
    assert flags[0].all()


def test_inputs_that_never_mattered_go_first():
    flags = kept((4, 5, 2), 30, [np.array([0.0, 1, 0, 2]), np.arange(1.0, 6)])
    np.testing.assert_array_equal(flags[0], [False, True, False, True])
    assert int(flags[1].sum()) == 5


def test_without_any_evidence_all_inputs_stay():
    flags = kept((4, 5, 2), 30, [np.zeros(4), np.zeros(5)])
    assert [int(k.sum()) for k in flags] == [4, 4]


def test_what_has_no_gates_stays_in_a_cut_in_proportion():
    flags = kept((40, 50, 2), 300, [None, np.arange(50.0)])
    assert flags[0].all()
    assert flags[1].sum() == 6


@given(
    st.lists(st.integers(1, 40), min_size=2, max_size=5),
    st.integers(1, 5),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_a_cut_in_proportion_never_exceeds_its_size(hidden, n_outputs, share, seed):
    widths = [*hidden, n_outputs]
    rng = np.random.default_rng(seed)
    evidence = [rng.random(width) * (rng.random(width) < 0.7) for width in hidden]
    smallest = count_parameters([1] * len(hidden) + [n_outputs])
    size = smallest + int(share * (count_parameters(widths) - smallest))
    counts = [int(k.sum()) for k in select_by_sensitivity(evidence, widths, size)]
    assert min(counts) >= 1
    assert count_parameters([*counts, n_outputs]) <= size
