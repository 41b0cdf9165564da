"""What the estimator promises about sizes: the network's, the saved model's, the training's."""

import gc
import itertools
import pickle
import re
import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from fastl0 import HardL0MLPClassifier
from fastl0.estimators import build_config
from fastl0.model.network import count_parameters
from fastl0.training.buffers import Buffers
from fastl0.training.pruner import Pruner
from fastl0.training.trainer import Trainer

FULL = 64 * 40 + 40 + 40 * 30 + 30 + 30 * 10 + 10


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def fitted(digits, n_rows=600, **changes):
    settings = {"hidden_layer_sizes": (40, 30), "max_iter": 12, "random_state": 0}
    X, y = digits
    return HardL0MLPClassifier(**settings | changes).fit(X[:n_rows], y[:n_rows])


# --- parameters ----------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1, 0.05, 0.03])
def test_the_network_ends_at_or_below_its_target_and_near_it(digits, share):
    for target in (share, round(share * FULL)):
        clf = fitted(digits, target_size=target)
        assert 0.95 * share * FULL <= clf.n_parameters_ <= share * FULL + 0.5
        assert clf.n_parameters_ == sum(a.size for a in [*clf.coefs_, *clf.intercepts_])
        assert clf.history_["n_parameters"][-1] == clf.n_parameters_


@pytest.mark.parametrize("target_size", [0.03, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("changes", [{"gate_inputs": False}, {"finetune_fraction": 0.0}], ids=str)
def test_a_target_is_met_without_gates_on_inputs_and_without_a_last_phase(
    digits, target_size, changes
):
    clf = fitted(digits, target_size=target_size, **changes)
    # All inputs are there: a hidden unit of the first layer has 65 parameters.
    slack = 66 if "gate_inputs" in changes else 0
    target = int(target_size * FULL)
    assert 0.95 * target - slack <= clf.n_parameters_ <= target


def test_a_tenth_of_a_network_learns(digits):
    clf = fitted(digits, hidden_layer_sizes=100, target_size=0.1, max_iter=300)
    assert clf.n_parameters_ <= 751
    X, y = digits
    assert clf.score(X[:600], y[:600]) > 0.9


def test_a_hundredth_of_a_large_network_is_met(digits):
    clf = fitted(digits, hidden_layer_sizes=(300, 100), target_size=0.01, max_iter=6)
    full = 64 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
    assert 0.0095 * full <= clf.n_parameters_ <= 0.01 * full


def test_the_price_that_training_finds_brings_the_network_near_its_target(digits):
    """Only what is left over goes by force when gates are folded."""
    clf = fitted(digits, target_size=0.3, max_iter=60, n_rows=1797)
    sizes = np.array(clf.history_["n_parameters"])
    assert len(sizes) == 60
    assert sizes[41] < 1.25 * sizes[-1]
    assert np.all(np.diff(sizes) <= 0)


def test_the_whole_network_may_stay(digits):
    clf = fitted(digits, target_size=1.0, max_iter=3)
    assert clf.n_parameters_ == FULL


@pytest.mark.parametrize("gate_inputs", [True, False])
def test_the_smallest_network_has_one_unit_a_layer(digits, gate_inputs):
    n_inputs = 1 if gate_inputs else 64
    smallest = n_inputs + 1 + 2 + 20
    clf = fitted(digits, target_size=smallest, max_iter=2, gate_inputs=gate_inputs)
    assert clf.n_units_ == (n_inputs, 1, 1, 10)


@pytest.mark.parametrize("max_iter", [1, 2])
def test_a_target_is_met_however_short_the_training_is(digits, max_iter):
    clf = fitted(digits, target_size=0.2, max_iter=max_iter)
    assert clf.n_parameters_ <= 0.2 * FULL
    assert clf.n_iter_ == max_iter


def test_without_a_price_or_a_target_three_tenths_stay(digits):
    clf = fitted(digits, max_iter=3)
    assert 0.285 * FULL <= clf.n_parameters_ <= 0.3 * FULL


def test_no_default_target_is_too_small_for_the_network():
    X = np.arange(20.0)[:, None]
    clf = HardL0MLPClassifier((1,), max_iter=2).fit(X, X[:, 0] > 9)
    assert clf.n_units_ == (1, 1, 1)


def test_early_stopping_keeps_a_network_of_the_target_size(digits):
    clf = fitted(digits, target_size=0.08, max_iter=40, n_rows=1797, early_stopping=True)
    assert clf.n_parameters_ <= 0.08 * FULL
    assert len(clf.validation_scores_) == 40
    # The score is that of the network kept, not of a larger one before.
    pairs = zip(clf.validation_scores_, clf.history_["n_parameters"], strict=True)
    assert clf.best_validation_score_ == max(s for s, n in pairs if n <= 0.08 * FULL)
    assert clf.best_validation_score_ < max(clf.validation_scores_)


def test_a_warm_start_goes_on_to_a_smaller_target(digits):
    clf = fitted(digits, target_size=0.5, warm_start=True)
    X, y = digits
    before = clf.n_parameters_
    clf.set_params(target_size=0.1).fit(X[:600], y[:600])
    assert clf.n_parameters_ <= 0.1 * FULL < before
    assert len(clf.loss_curve_) == 24


@pytest.mark.parametrize("target_size", [None, 0.3, 400, "9 kB"])
def test_a_warm_start_goes_on_at_the_size_that_was_reached(digits, target_size):
    X, y = (part[:600] for part in digits)
    clf = fitted(digits, target_size=target_size, max_iter=20, warm_start=True)
    n_parameters, score = clf.n_parameters_, clf.score(X, y)
    pickle.loads(pickle.dumps(clf)).fit(X, y)
    clf.fit(X, y)
    assert (clf.n_iter_, len(clf.loss_curve_)) == (20, 40)
    assert clf.score(X, y) > score - 0.02
    assert clf.n_parameters_ == n_parameters


def test_what_a_warm_start_has_deleted_stays_deleted(digits):
    clf = fitted(digits, target_size=0.2, warm_start=True)
    before = clf.n_parameters_
    X, y = digits
    assert clf.set_params(target_size=1.0).fit(X[:600], y[:600]).n_parameters_ == before


def test_an_interrupted_training_keeps_to_its_target(digits):
    def interrupt(epoch, *_):
        if epoch == 4:
            raise KeyboardInterrupt

    clf = HardL0MLPClassifier(100, max_iter=50, target_size=0.1)
    with pytest.warns(UserWarning, match="interrupted"):
        clf._fit(*digits, on_epoch=interrupt, keep_interrupted=True)
    assert clf.n_iter_ == 5
    assert clf.n_parameters_ <= 751


@pytest.mark.parametrize("method", ["_begin", "_run_batches"])
def test_a_warm_start_that_no_epoch_has_trained_leaves_the_last_fit(digits, monkeypatch, method):
    X, y = (part[:600] for part in digits)
    clf = fitted(digits, target_size=0.5, warm_start=True)
    before = dict(vars(clf))

    def interrupt(*_):
        raise KeyboardInterrupt

    clf.set_params(target_size=0.1)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, method, interrupt)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(X, y)
    assert vars(clf) == before | {"target_size": 0.1}
    assert clf.fit(X, y).n_parameters_ <= 0.1 * FULL


# --- the last phase ------------------------------------------------------------------


def test_the_last_phase_trains_without_gates_at_a_falling_rate(digits, monkeypatch):
    seen, original = [], Trainer.run_epoch

    def note(trainer, data, rate, *others):
        seen.append((trainer.buffers.layout.n_gates > 0, rate))
        return original(trainer, data, rate, *others)

    monkeypatch.setattr(Trainer, "run_epoch", note)
    fitted(digits, max_iter=20, finetune_fraction=0.4, gate_learning_rate_init=0.05)
    assert [has_gates for has_gates, _ in seen] == [True] * 12 + [False] * 8
    rates = [rate for _, rate in seen]
    assert rates[:13] == [0.001] * 13
    assert all(b < a for a, b in itertools.pairwise(rates[12:]))


def test_a_price_that_converges_early_is_followed_by_a_last_phase(digits):
    settings = {"lam": 0.01, "tol": 10.0, "n_iter_no_change": 4, "batch_size": 20, "max_iter": 100}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = fitted(digits, finetune_fraction=0.5, **settings)
    plain = fitted(digits, finetune_fraction=0.0, **settings)
    assert clf.n_iter_ == 2 * plain.n_iter_ < 100


# --- guards --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("seed", range(5))
def test_no_unit_that_matters_goes_by_noise_where_data_are_few(seed):
    """100 rows in 5 mini-batches an epoch: nothing is cheap enough to be given up."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((100, 4)).astype(np.float32)
    y = (X[:, 0] > 0) * 2 + (X[:, 1] > 0)
    clf = HardL0MLPClassifier(
        (20,), lam=1e-4, batch_size=20, max_iter=100, random_state=seed, learning_rate_init=0.01
    ).fit(X, y)
    assert clf.n_units_ == (4, 20, 4)
    clf = HardL0MLPClassifier(
        (20,), target_size=0.5, batch_size=20, max_iter=300, random_state=seed,
        learning_rate_init=0.01,
    ).fit(X, y)  # fmt: skip
    assert clf.support_[:2].all()
    assert clf.score(X, y) > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_a_rare_class_is_not_pushed_out(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((2000, 10)).astype(np.float32)
    y = X[:, 0] + X[:, 1] > 2.6  # 3 % of the rows
    clf = HardL0MLPClassifier(
        (50,), target_size=0.1, random_state=seed, max_iter=60, learning_rate_init=0.01
    ).fit(X, y)
    assert clf.n_parameters_ <= 0.1 * 601
    found = clf.predict(X)
    assert found[y].mean() > 0.7
    assert found[~y].mean() < 0.02


def test_nothing_is_deleted_after_an_epoch_that_has_collapsed(digits, monkeypatch):
    seen, quick = [], {"gate_learning_rate_init": 0.05}
    decide = Pruner._select_units

    def count(pruner):
        seen.append(pruner.has_collapsed)
        return decide(pruner)

    monkeypatch.setattr(Pruner, "_select_units", count)
    monkeypatch.setattr("fastl0.data.class_targets.ClassTargets.null_loss", lambda *_: 1e-9)
    fitted(digits, target_size=0.3, max_iter=12, finetune_fraction=0.0, **quick)
    assert seen == []
    monkeypatch.undo()
    monkeypatch.setattr(Pruner, "_select_units", count)
    fitted(digits, target_size=0.3, max_iter=12, finetune_fraction=0.0)
    assert seen
    assert not any(seen)


# --- bytes ---------------------------------------------------------------------------


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    ("target", "n_bytes"), [("4KiB", 4096), ("6 kB", 6_000), ("12000B", 12_000)]
)
def test_a_size_in_bytes_is_that_of_weights_and_biases(digits, target, n_bytes, early_stopping):
    clf = fitted(digits, target_size=target, max_iter=20, early_stopping=early_stopping)
    found = sum(array.nbytes for array in [*clf.coefs_, *clf.intercepts_])
    assert found == 4 * clf.n_parameters_
    assert 0.9 * n_bytes <= found <= n_bytes


def test_a_size_in_bytes_is_a_quarter_of_it_in_parameters(digits):
    by_bytes, by_number = (fitted(digits, target_size=t, max_iter=20) for t in ("9001 B", 2250))
    for a, b in zip(by_bytes.coefs_, by_number.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wrong", ["10 B", "900 GB"])
def test_bounds_in_bytes_that_an_error_names_are_taken(digits, wrong):
    X, y = (part[:100] for part in digits)
    clf = HardL0MLPClassifier((30,), target_size=wrong, max_iter=2, random_state=0)
    with pytest.raises(ValueError, match="`target_size` must leave") as error:
        clf.fit(X, y)
    for n_bytes in re.search(r"Give (\d+) to (\d+) bytes", str(error.value)).groups():
        for unit in ("", "B", " B"):
            clf.set_params(target_size=n_bytes + unit).fit(X, y)
            assert 4 * clf.n_parameters_ <= int(n_bytes)


# --- bad targets ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"target_size": FULL + 1}, ("target_size", "no larger than it is", str(FULL))),
        ({"target_size": 20}, ("target_size", "at least one unit in each layer", "24 to")),
        ({"target_size": 0}, ("target_size", "at least one unit")),
        ({"target_size": 1.5}, ("target_size", r"\(0, 1\]", "1.5")),
        ({"target_size": -0.1}, ("target_size", r"\(0, 1\]", "-0.1")),
        ({"target_size": float("nan")}, ("target_size", "nan")),
        ({"target_size": "64 furlongs"}, ("target_size", "64 furlongs", "KiB")),
        ({"target_size": "KiB"}, ("target_size", "KiB")),
        ({"target_size": "64B"}, ("target_size", "at least one unit", "bytes")),
        ({"target_size": "900MB"}, ("target_size", "no larger", "bytes")),
        ({"target_size": True}, ("target_size", "True", "Write for instance 0.1")),
        ({"target_size": 0.1, "lam": 0.1}, ("lam", "target_size", "Leave one of them at None")),
        ({"target_size": 0.1, "pruning": "soft"}, ("target_size", 'pruning="hard"')),
        ({"target_size": 0.1, "pruning": "none"}, ("target_size", 'pruning="hard"')),
        ({"prune_threshold": 0.0}, ("prune_threshold", "0.047 and 0.998", "got 0.0", "Use 0.5")),
        ({"prune_threshold": 1.0, "target_size": 0.1}, ("prune_threshold", "got 1.0", "lam")),
        ({"memory_budget": "1KiB"}, ("memory_budget", "bytes at least", "1KiB")),
        ({"memory_budget": "lots"}, ("memory_budget", "lots", "KiB")),
        ({"memory_budget": 0}, ("memory_budget", "0")),
        ({"memory_budget": -5}, ("memory_budget", "-5")),
    ],
)
def test_a_bad_size_is_refused_by_name_rule_value_and_remedy(digits, changes, words):
    for word in words:
        with pytest.raises(ValueError, match=word):
            fitted(digits, **changes)


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
def test_any_threshold_goes_with_a_price_and_without_pruning(digits):
    for settings in ({"lam": 0.1}, {"pruning": "soft"}, {"pruning": "none"}):
        fitted(digits, max_iter=1, prune_threshold=0.0, **settings)


def test_the_smallest_memory_budget_that_is_named_works(digits):
    with pytest.raises(ValueError, match="memory_budget") as refused:
        fitted(digits, memory_budget=1000)
    smallest = int(str(refused.value).split(" bytes at least")[0].split()[-1])
    with pytest.warns(UserWarning, match="no room for the second moments"):
        clf = fitted(digits, memory_budget=smallest, max_iter=2)
    assert max(clf.history_["buffer_nbytes"]) <= smallest
    with pytest.raises(ValueError, match=str(smallest)):
        fitted(digits, memory_budget=smallest - 1)


# --- memory --------------------------------------------------------------------------

#: Bytes that Python's own objects take in the phases of a training: threads, history, code.
OBJECTS = 160 * 1024


@pytest.mark.filterwarnings("ignore:memory_budget:UserWarning")
@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("changes", [{}, {"batch_size": "dynamic"}, {"lam": 0.0}, {"lam": 3.0}])
@pytest.mark.parametrize("budget", ["150KiB", "200KiB", "400KiB"])
def test_training_stays_within_its_memory_budget(digits, monkeypatch, budget, changes):
    most, peaks = [], []
    adopt, init, settle = Buffers._adopt, Trainer.__init__, Trainer.enforce_size

    def adopt_and_measure(buffers, layout):
        adopt(buffers, layout)
        most.append(sum(array.nbytes for array in buffers.arrays().values()))

    def begin(trainer, *arguments):
        gc.collect()
        tracemalloc.start()
        init(trainer, *arguments)
        most.append(trainer.buffers.nbytes)

    def end(trainer, *arguments):
        enforced = settle(trainer)
        if not trainer.n_done and tracemalloc.is_tracing():  # after the last epoch
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        return enforced

    monkeypatch.setattr(Buffers, "_adopt", adopt_and_measure)
    monkeypatch.setattr(Trainer, "__init__", begin)
    monkeypatch.setattr(Trainer, "enforce_size", end)
    n_bytes = int(budget[:3]) * 1024
    try:
        clf = fitted(digits, memory_budget=budget, n_rows=1797, **changes)
    finally:
        tracemalloc.stop()
    assert max(most) <= n_bytes
    assert max(clf.history_["buffer_nbytes"]) <= n_bytes
    assert peaks[0] <= n_bytes + OBJECTS


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize(
    ("budget", "batch_size", "n_bytes"),
    [("100kB", 11, 99_348), ("120kB", 32, 119_928), ("150kB", 62, 149_328)],
)
def test_a_budget_leaves_the_same_mini_batches_on_any_machine(
    digits, monkeypatch, budget, batch_size, n_bytes
):
    monkeypatch.setattr(build_config, "usable_threads", lambda: 1)
    history = fitted(digits, memory_budget=budget, batch_size=100, max_iter=2).history_
    assert (history["batch_size"][0], history["buffer_nbytes"][0]) == (batch_size, n_bytes)


def test_a_budget_that_is_large_enough_changes_nothing(digits):
    free, bound = fitted(digits), fitted(digits, memory_budget="1GiB")
    for a, b in zip(free.coefs_, bound.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_dynamic_mini_batches_grow_into_the_memory_that_units_have_left(digits):
    clf = fitted(digits, batch_size="dynamic", target_size=0.2, max_iter=40, n_rows=1797)
    sizes, nbytes = (np.array(clf.history_[name]) for name in ("batch_size", "buffer_nbytes"))
    assert np.all(np.diff(sizes) >= 0)
    assert sizes[-1] >= 2 * sizes[0]
    assert sizes[-1] <= 1797 // 20
    assert np.all(nbytes <= nbytes[0])
    assert clf.score(*digits) > 0.7


def needed(digits, **settings):
    """Bytes of the buffers without a budget, less the copy that is only kept where it fits."""
    history = fitted(digits, max_iter=2, **settings).history_
    widths = history["n_units"][0]
    copy = 4 * (count_parameters(widths) + sum(widths[:-1]))
    return history["buffer_nbytes"][0] - copy


@pytest.mark.filterwarnings("ignore:memory_budget")
@pytest.mark.parametrize("share", [0.83, 0.9, 1.0])
def test_a_warm_start_keeps_within_the_budget(digits, share):
    budget = int(share * needed(digits, batch_size=100))
    clf = fitted(digits, batch_size=100, memory_budget=budget, warm_start=True)
    assert share < 1 or clf.history_["batch_size"][0] == 100
    X, y = digits
    clf.fit(X[:600], y[:600])
    assert max(clf.history_["buffer_nbytes"]) <= budget


def test_whether_weights_are_averaged_does_not_depend_on_the_number_of_threads(digits, monkeypatch):
    """One thread leaves room for the average here, and two would not."""
    settings = {"hidden_layer_sizes": (300, 200), "target_size": 1.0, "n_rows": 400, "max_iter": 6}
    networks = []
    for n_threads in (1, 2):
        monkeypatch.setattr(build_config, "usable_threads", lambda n=n_threads: n)
        clf = fitted(digits, memory_budget=1_400_000, **settings)
        assert max(clf.history_["buffer_nbytes"]) <= 1_400_000
        assert clf.history_["buffer_nbytes"][-1] > clf.history_["buffer_nbytes"][0]  # averages
        networks.append(clf.coefs_)
    for a, b in zip(*networks, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.filterwarnings("ignore:memory_budget")
def test_a_warm_start_keeps_within_the_budget_before_its_first_epoch(digits, monkeypatch):
    clf = fitted(digits, hidden_layer_sizes=(300, 200), batch_size=8, warm_start=True, max_iter=4)
    assert clf._warm_state["state"]["buffers"]["averaged"]
    most, adopt = [], Buffers._adopt

    def adopt_and_measure(buffers, layout):
        adopt(buffers, layout)
        most.append(buffers.nbytes)

    monkeypatch.setattr(Buffers, "_adopt", adopt_and_measure)
    X, y = digits
    budget = 600_000
    clf.set_params(memory_budget=budget, batch_size=500, max_iter=1).fit(X[:600], y[:600])
    assert 8 < clf.history_["batch_size"][-1] < 500
    assert max(most) <= budget


@pytest.mark.filterwarnings("ignore:memory_budget")
def test_a_warm_start_without_the_budget_has_the_moments_that_the_first_fit_had(digits):
    """Adam must not write second moments into buffers that have none."""
    with threadpool_limits(1):
        budget = needed(digits, batch_size=8) - 100
    clf = fitted(digits, memory_budget=budget, warm_start=True)
    X, y = digits
    with pytest.warns(UserWarning, match=r'kept no second moments.*solver="sgd"'):
        clf.set_params(memory_budget=None).fit(X[:600], y[:600])
    assert clf._warm_state["layout"]["n_moments"] == 1
    assert len(clf.loss_curve_) == 24


def test_a_warm_start_under_a_new_budget_keeps_its_moments_or_is_refused(digits):
    clf = fitted(digits, warm_start=True, target_size=1.0, max_iter=2)
    X, y = digits
    refused = pickle.dumps(clf.coefs_)
    with pytest.raises(ValueError, match="memory_budget") as error:
        clf.set_params(memory_budget=1000).fit(X[:600], y[:600])
    assert pickle.dumps(clf.coefs_) == refused
    smallest = int(str(error.value).split(" bytes at least")[0].split()[-1])
    with pytest.raises(ValueError, match="memory_budget"):
        clf.set_params(memory_budget=smallest - 1).fit(X[:600], y[:600])
    clf.set_params(memory_budget=smallest).fit(X[:600], y[:600])
    assert clf._warm_state["layout"]["n_moments"] == 2
    assert max(clf.history_["buffer_nbytes"][2:]) <= smallest


def test_a_budget_without_room_for_adam_warns_and_descends_gradients(digits):
    with threadpool_limits(1):
        budget = needed(digits, batch_size=8) - 100
    clf = HardL0MLPClassifier((40, 30), memory_budget=budget, max_iter=100, random_state=0)
    with pytest.warns(UserWarning, match=r'memory_budget=\d+ leaves no room.*solver="sgd"'):
        clf.fit(*digits)
    assert max(clf.history_["buffer_nbytes"]) <= budget
    assert clf.score(*digits) > 0.8


def test_too_few_rows_let_no_mini_batch_grow(digits):
    clf = fitted(digits, batch_size="dynamic", n_rows=200)
    assert set(clf.history_["batch_size"]) == {8}
