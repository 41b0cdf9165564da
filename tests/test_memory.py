"""The owner of training memory: what it holds, what it says it holds, and that it lets go."""

import gc
import tracemalloc
import types

import naive
import numpy as np
import pytest
import small

from fastl0 import HardL0MLPClassifier, fitting, training
from fastl0._kernels import RowSource
from fastl0.memory import DRAWS_AHEAD, Buffers, count_parameters
from fastl0.products import OVERHANG, TILE_COLUMNS, TILE_ROWS, padded

WIDTHS = [(1, 1), (7, 1), (5, 3), (13, 11, 7), (17, 1, 13, 5)]
GATED = [(True, True), (False, True), (False, False)]


#: What the kernels go by, beside what they compute.
SHAPE = ("columns", "lit", "step", "lit_pause", "target_columns", "widths", "gate_start")


def buffers_with_numbers(widths, gates=(True, True), batch_size=4, *, adam=True):
    """Buffers in which every entry of every array is another number, and whether gated."""
    gated = [gates[min(layer, 1)] for layer in range(len(widths) - 1)]
    buffers = Buffers(widths, batch_size, 2, adam=adam, gated=gated)
    for number, (name, array) in enumerate(buffers.arrays().items()):
        if name not in SHAPE:
            array[...] = np.arange(array.size).reshape(array.shape) + 1000 * number
    return buffers, gated


def random_keep(widths, seed=0, share=0.6):
    rng = np.random.default_rng(seed)
    keep = [rng.random(width) < share for width in widths[:-1]]
    for stays in keep:
        stays[rng.integers(len(stays))] = True
    return keep


# --- sizes ---------------------------------------------------------------------------


def test_parameters_are_counted_with_biases():
    assert count_parameters([784, 300, 100, 10]) == 266_610
    assert count_parameters([3, 1]) == 4


@pytest.mark.parametrize("adam", [True, False])
@pytest.mark.parametrize("gates", GATED)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_arrays_have_the_sizes_that_training_needs(widths, gates, adam):
    buffers, gated = buffers_with_numbers(widths, gates, batch_size=5, adam=adam)
    arrays = buffers.arrays()
    n = count_parameters(widths) + OVERHANG
    n_gates = sum(w for w, g in zip(widths[:-1], gated, strict=True) if g)
    assert [arrays[name].size for name in ("theta", "first")] == [n] * 2
    assert arrays["second"].size == (n if adam else 0)
    assert arrays["log_odds"].size == arrays["on_count"].size == n_gates
    assert arrays["values"].size == 5 * sum(padded(w) for w in widths)
    assert arrays["deltas"].size == 5 * sum(padded(w) for w in widths[1:-1])
    assert arrays["losses"].shape == (5,)
    assert arrays["rows"].shape == (2, 5)
    assert arrays["draws"].size == DRAWS_AHEAD * n_gates
    assert arrays["targets"].shape == (5, 2)
    np.testing.assert_array_equal(arrays["columns"], np.arange(widths[0]))
    assert buffers.nbytes == sum(a.nbytes for a in arrays.values())


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_every_thread_has_its_own_marks_and_scratch(n_threads):
    one, several = (
        Buffers((13, 11, 7), 5, 2, adam=True, gated=(True, True), n_threads=n).arrays()
        for n in (1, n_threads)
    )
    for name in one:
        if name in ("lit", "scratch"):
            assert several[name].shape == (n_threads, *one[name].shape[1:])
        else:
            assert several[name].shape == one[name].shape
    # Rows of a gradient and one more, or a panel of scattered columns; then another line.
    n_most = max((TILE_ROWS + 1) * 11, 13 * TILE_COLUMNS)
    assert several["scratch"].shape[1] >= n_most + OVERHANG


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("gates", GATED)
def test_addresses_of_all_arrays_are_lent_with_the_shape_they_have(gates, n_threads):
    buffers = Buffers((13, 11, 7), 4, 2, adam=True, gated=gates, n_threads=n_threads)
    for keep in (None, random_keep((13, 11, 7))):
        if keep:
            buffers.shrink(keep)
        arrays, widths = buffers.arrays(), buffers.widths
        lent = {name: value for part in buffers.lend() for name, value in part._asdict().items()}
        shape = {name: lent.pop(name) for name in set(lent) - set(arrays)}
        assert shape == {
            "n_layers": 2,
            "n_gates": len(arrays["log_odds"]),
            "n_targets": 2,
            "n_scratch": arrays["scratch"].shape[1],
        }
        assert lent == {name: arrays[name].ctypes.data for name in lent}
        assert set(arrays) - set(lent) == {"draws"}
        np.testing.assert_array_equal(arrays["widths"], widths)
        starts = {(True, True): [0, widths[0]], (False, True): [-1, 0], (False, False): [-1, -1]}
        np.testing.assert_array_equal(arrays["gate_start"], starts[gates])


def test_an_epoch_begins_with_its_prices_and_without_tallies():
    buffers, _ = buffers_with_numbers((3, 2, 4))
    before = {name: a.copy() for name, a in buffers.arrays().items()}
    source = RowSource(np.zeros((7, 3), np.float32))
    buffers.begin_epoch(np.array([2, 2, 2, 4, 4], np.float32), source)
    after = buffers.arrays()
    marks = np.zeros(3, np.int32)
    n_marks = source.landmarks(np.arange(3, dtype=np.int32), marks)
    np.testing.assert_array_equal(after["n_landmarks"], n_marks)
    np.testing.assert_array_equal(after["landmarks"][:n_marks], marks[:n_marks])
    np.testing.assert_array_equal(after["price"], [2, 2, 2, 4, 4])
    assert not after["on_count"].any()
    assert not after["on_sum"].any()
    for name in set(after) - {"price", "on_count", "on_sum", "landmarks", "n_landmarks"}:
        np.testing.assert_array_equal(after[name], before[name])


def test_layers_and_sets_are_views_in_the_documented_layout():
    buffers, _ = buffers_with_numbers((3, 2, 4))
    theta = buffers.arrays()["theta"]
    for layer, (weights, bias) in enumerate(
        small.split(theta, (3, 2, 4))[k : k + 2] for k in (0, 2)
    ):
        for found, expected in zip(buffers.layer(layer), (weights, bias), strict=True):
            np.testing.assert_array_equal(found, expected)
            assert np.shares_memory(found, theta)
    inputs, hidden = buffers.by_set("log_odds")
    np.testing.assert_array_equal(np.concatenate([inputs, hidden]), buffers.arrays()["log_odds"])
    assert (len(inputs), len(hidden)) == (3, 2)


def test_squared_norm_is_that_of_the_weights_without_biases():
    buffers, _ = buffers_with_numbers((3, 2, 4))
    weights = small.split(buffers.arrays()["theta"].astype(float), (3, 2, 4))[::2]
    assert buffers.squared_norm() == pytest.approx(sum((w**2).sum() for w in weights))


# --- shrinking -----------------------------------------------------------------------


@pytest.mark.parametrize("adam", [True, False])
@pytest.mark.parametrize("gates", GATED)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_shrinking_keeps_the_right_numbers_and_cuts_every_array(widths, gates, adam):
    buffers, gated = buffers_with_numbers(widths, gates, adam=adam)
    before = {name: a.copy() for name, a in buffers.arrays().items()}
    keep = random_keep(widths)
    buffers.shrink(keep)
    after = buffers.arrays()
    kept = [*(int(k.sum()) for k in keep), widths[-1]]
    assert buffers.widths == kept
    assert buffers.whole
    every = [*keep, np.ones(widths[-1], dtype=bool)]
    for name in ("theta", "first", *(["second"] if adam else [])):
        packed = naive.pack_weights(before[name], widths, every)
        np.testing.assert_array_equal(after[name][:-OVERHANG], packed)
        np.testing.assert_array_equal(after[name][-OVERHANG:], np.zeros(OVERHANG))
    flags = np.concatenate([[], *(k for k, g in zip(keep, gated, strict=True) if g)]).astype(bool)
    per_gate = [name for name, a in before.items() if a.shape == before["log_odds"].shape]
    assert not flags.size or {"gate_first", "gate_second", "on_count", "on_sum"} <= {*per_gate}
    for name in ("log_odds", "gate_first", "gate_second", "price", "on_count", "on_sum"):
        np.testing.assert_array_equal(after[name], before[name][flags])
    np.testing.assert_array_equal(after["columns"], np.flatnonzero(keep[0]))
    fresh = Buffers(kept, 4, 2, adam=adam, gated=gated).arrays()
    assert {n: (a.shape, a.dtype) for n, a in after.items()} == {
        n: (a.shape, a.dtype) for n, a in fresh.items()
    }


def test_shrinking_twice_is_shrinking_once_by_both():
    widths = (17, 13, 11, 5)
    twice, once = (buffers_with_numbers(widths)[0] for _ in range(2))
    first = random_keep(widths, seed=1)
    second = random_keep([int(k.sum()) for k in first] + [5], seed=2)
    twice.shrink(first)
    twice.shrink(second)
    both = [k.copy() for k in first]
    for k, later in zip(both, second, strict=True):
        k[np.flatnonzero(k)] = later
    once.shrink(both)
    for name in ("theta", "first", "second", "log_odds", "on_sum", "columns"):
        np.testing.assert_array_equal(twice.arrays()[name], once.arrays()[name])


def test_every_array_owns_its_memory_and_stays_where_it_is_known():
    buffers, _ = buffers_with_numbers((13, 11, 7))
    before = {name: id(a) for name, a in buffers.arrays().items()}
    buffers.shrink(random_keep((13, 11, 7)))
    after = buffers.arrays()
    assert {name: id(a) for name, a in after.items()} == before
    assert all(a.base is None and a.flags.owndata for a in after.values())


SCRATCH = (
    *("wanted", "lit", "active", "active_gate", "active_bias", "values", "deltas", "scratch"),
    *("draws", "rows", "losses", "n_active", "job", "landmarks", "n_landmarks"),
)
HOLDERS = {
    "theta": lambda b: b.layer(0)[0],
    "gates": lambda b: b.by_set("log_odds")[0],
    "draws": lambda b: b.draws(3),
    "columns": lambda b: b.columns,
    "arrays": lambda b: b.arrays(),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_view_that_somebody_holds_keeps_its_memory_and_nothing_else(holder):
    keep = random_keep((13, 11, 7))
    buffers, _ = buffers_with_numbers((13, 11, 7))
    free, _ = buffers_with_numbers((13, 11, 7))
    held = HOLDERS[holder](buffers)
    addresses = {name: a.__array_interface__["data"][0] for name, a in buffers.arrays().items()}
    buffers.shrink(keep)
    free.shrink(keep)
    assert buffers.whole
    moved = 0
    for name, array in buffers.arrays().items():
        assert array.base is None
        if name not in SCRATCH:
            np.testing.assert_array_equal(array, free.arrays()[name])
        assert array.shape == free.arrays()[name].shape
        moved += array.size > 0 and array.__array_interface__["data"][0] != addresses[name]
    assert held is not None
    assert moved >= 1


@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_another_batch_size_changes_the_mini_batch_only(batch_size):
    buffers, gated = buffers_with_numbers((13, 11, 7))
    before = {name: a.copy() for name, a in buffers.arrays().items()}
    buffers.make_room(batch_size, 1)
    fresh = Buffers((13, 11, 7), batch_size, 2, adam=True, gated=gated).arrays()
    for name, array in buffers.arrays().items():
        assert array.shape == fresh[name].shape
        if name not in ("values", "deltas", "targets", "losses", "rows"):
            np.testing.assert_array_equal(array, before[name])
    assert buffers.batch_size == batch_size
    assert buffers.whole


# --- what a training really occupies -------------------------------------------------


def arrays_reachable_from(root):
    """Every ndarray that something reachable from `root` refers to, once each."""
    seen, todo, found = set(), [root], []
    while todo:
        thing = todo.pop()
        if id(thing) in seen or isinstance(thing, type | types.ModuleType | types.FunctionType):
            continue
        seen.add(id(thing))
        if isinstance(thing, np.ndarray):
            found.append(thing)
            if thing.base is None:
                continue
        todo += gc.get_referents(thing)
    return found


def arrays_of_the_process():
    """Every ndarray that an object of this process refers to (locals of running frames aside)."""
    found, todo = {}, gc.get_objects()
    while todo:
        things = {id(x): x for x in gc.get_referents(*todo)}.values()
        found |= {id(x): x for x in things if issubclass(type(x), np.ndarray)}
        # The collector does not list containers that hold nothing but arrays and numbers.
        todo = [x for x in things if type(x) in (dict, tuple) and not gc.is_tracked(x)]
    return list(found.values())


def memory_behind(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@pytest.fixture
def trainers(monkeypatch):
    """The trainers that are made in a test."""
    made = []
    original = training.Trainer.__init__

    def note(self, *arguments):
        made.append(self)
        original(self, *arguments)

    monkeypatch.setattr(training.Trainer, "__init__", note)
    return made


def shrinking(n_epochs=8, **changes):
    settings = {
        "hidden_layer_sizes": (500, 300),
        "batch_size": 50,
        "max_iter": n_epochs,
        "n_iter_no_change": n_epochs,
        "random_state": 0,
        "gate_learning_rate_init": 0.3,
        "lam": 0.05,
    }
    return HardL0MLPClassifier(**{**settings, **changes})


@pytest.fixture(scope="module")
def X_y():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 200)).astype(np.float32)
    return X, np.argmax(X[:, :3], axis=1)


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_traced_memory_falls_as_the_reported_bytes_fall(X_y, solver, monkeypatch):
    monkeypatch.setattr(fitting, "usable_threads", lambda: 1)  # helpers come and go
    shrinking(2, solver=solver)._fit(*X_y)  # compiles, imports and fills caches
    traced, reported = [], []

    def note(epoch, freeze, entries):
        gc.collect()
        traced.append(tracemalloc.get_traced_memory()[0])
        reported.append(entries["buffer_nbytes"])

    tracemalloc.start()
    try:
        start = tracemalloc.get_traced_memory()[0]
        shrinking(solver=solver)._fit(*X_y, note)
    finally:
        tracemalloc.stop()
    falls = -np.diff(reported)
    assert np.count_nonzero(falls) >= 3
    assert reported[-1] < reported[0] / 3
    # History, row order and the targets' codes are beside the buffers, kilobytes each.
    np.testing.assert_allclose(-np.diff(traced), falls, rtol=0, atol=5_000)
    assert 0 <= traced[0] - start - reported[0] < 100_000


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_trainer_holds_the_reported_bytes_and_no_other_array(X_y, trainers, early_stopping):
    n_compared = 0

    def compare(epoch, freeze, entries):
        nonlocal n_compared
        (trainer,) = trainers
        aside = {id(a) for a in arrays_reachable_from(trainer._rng)}  # the generator's state
        if early_stopping:  # keeps the best network, folded: the product, not the training
            best = trainer.record.best
            aside |= {id(a) for a in [*best.coefs, *best.intercepts, best.support]}
        found = [a for a in arrays_reachable_from(trainer) if id(a) not in aside]
        assert sum(a.nbytes for a in found) == entries["buffer_nbytes"]
        n_compared += 1

    shrinking(early_stopping=early_stopping)._fit(*X_y, compare)
    assert n_compared == 8


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
def test_between_epochs_nobody_holds_a_view_of_a_buffer(X_y, trainers):
    seen = []

    def look(epoch, freeze, entries):
        freeze()
        seen.append(entries["n_units"])
        if epoch == 2:
            own = {id(a) for a in trainers[0].buffers.arrays().values()}
            everybody = arrays_of_the_process()
            assert own <= {id(a) for a in everybody}
            views = [a for a in everybody if id(a) not in own and id(memory_behind(a)) in own]
            assert views == []

    shrinking(3)._fit(*X_y, look)
    assert seen[2] < seen[0]


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
def test_a_fitted_classifier_holds_its_network_and_no_training_buffer(X_y):
    model = shrinking(3)._fit(*X_y)
    held = sum(a.nbytes for a in arrays_reachable_from(model))
    product = [*model.coefs_, *model.intercepts_, model.support_, model.classes_]
    assert held == sum(a.nbytes for a in product)


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
def test_soft_training_keeps_its_memory(X_y):
    reported = shrinking(4, pruning="soft")._fit(*X_y).history_["buffer_nbytes"]
    assert len(set(reported)) == 1
