"""The owner of training memory: what it holds, what it says it holds, and that it lets go."""

import copy
import gc
import pickle
import tracemalloc
import types
from dataclasses import replace

import joblib
import naive
import numpy as np
import problems
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastl0 import HardL0MLPClassifier
from fastl0._kernels import RowSource
from fastl0.checkpoint.state_reader import StateError, StateReader
from fastl0.estimators import build_config
from fastl0.estimators.byte_sizes import parse_bytes
from fastl0.kernel_api.tiles import MAX_TILE_ROWS, PADDING, padded
from fastl0.model.network import count_parameters
from fastl0.training import trainer
from fastl0.training.buffer_layout import DRAWS_AHEAD, BufferLayout, fit_into
from fastl0.training.buffers import Buffers

WIDTHS = [(1, 1), (7, 1), (5, 3), (13, 11, 7), (17, 1, 13, 5)]
GATED = [(True, True), (False, True), (False, False)]


#: What the kernels go by, beside what they compute.
SHAPE = ("columns", "nonzero", "step", "nonzero_pause", "target_columns", "widths", "gate_start")


def laid_out(widths, gates=(True, True), batch_size=4, n_moments=2, **changes):
    """A layout with gates on inputs and on hidden units as told."""
    gated = tuple(gates[min(layer, 1)] for layer in range(len(widths) - 1))
    return BufferLayout(tuple(widths), batch_size, 2, n_moments, gated, **changes)


def buffers_with_numbers(*arguments, **keywords):
    """Buffers in which every entry of every array is another number."""
    buffers = Buffers(laid_out(*arguments, **keywords))
    for number, (name, array) in enumerate(buffers.arrays().items()):
        if name not in SHAPE:
            array[...] = np.arange(array.size).reshape(array.shape) + 1000 * number
    return buffers


def random_keep(widths, seed=0, share=0.6):
    rng = np.random.default_rng(seed)
    keep = [rng.random(width) < share for width in widths[:-1]]
    for stays in keep:
        stays[rng.integers(len(stays))] = True
    return keep


# --- out of a pickle -----------------------------------------------------------------


def stored(buffers, folder, way):
    if way.startswith("joblib"):
        joblib.dump(buffers, folder / "buffers")
        return joblib.load(folder / "buffers", mmap_mode="r" if way.endswith("mapped") else None)
    return pickle.loads(pickle.dumps(buffers, int(way[-1])))


@pytest.mark.parametrize("way", ["pickle 2", "pickle 4", "pickle 5", "joblib", "joblib, mapped"])
def test_stored_buffers_can_be_written_to_and_resized(way, tmp_path):
    buffers = buffers_with_numbers((13, 11, 7))
    twin = stored(buffers, tmp_path, way)
    for name, array in twin.arrays().items():
        np.testing.assert_array_equal(array, buffers.arrays()[name])
        array[...] += 0
    keep = random_keep((13, 11, 7))
    for each in (buffers, twin):
        each.shrink(keep)
        each.resize_batch(9, 2)
    for name, array in twin.arrays().items():
        assert array.flags.owndata
        np.testing.assert_array_equal(array, buffers.arrays()[name])


def test_buffers_of_a_version_that_laid_them_out_smaller_get_the_room_that_kernels_need():
    buffers = buffers_with_numbers((13, 11, 7))
    before = {name: array.copy() for name, array in buffers.arrays().items()}
    shapes = {name: array.shape for name, array in before.items()}
    for arrays, name, shape in (
        (buffers._flat, "theta", (14 * 11 + 12 * 7 + 7,)),
        (buffers._batch, "values", (4 * (16 + 16 + 8),)),
        (buffers._batch, "scratch", (1, 13 * 16)),
    ):
        arrays[name] = arrays[name].reshape(-1)[: np.prod(shape)].reshape(shape).copy()
    twin = pickle.loads(pickle.dumps(buffers))
    assert twin.is_consistent
    assert {name: array.shape for name, array in twin.arrays().items()} == shapes
    assert twin.nbytes == twin.layout.nbytes
    n = 14 * 11 + 12 * 7
    np.testing.assert_array_equal(twin.arrays()["theta"][:n], before["theta"][:n])
    np.testing.assert_array_equal(twin.arrays()["theta"][n + 7 :], 0)


def test_buffers_that_an_interruption_left_broken_stay_so_in_a_pickle():
    buffers = buffers_with_numbers((13, 11, 7))
    buffers.is_consistent = False
    assert not pickle.loads(pickle.dumps(buffers)).is_consistent


# --- sizes ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_moments", [0, 1, 2])
@pytest.mark.parametrize("gates", GATED)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_arrays_have_the_sizes_that_training_needs(widths, gates, n_moments):
    buffers = buffers_with_numbers(widths, gates, batch_size=5, n_moments=n_moments)
    arrays = buffers.arrays()
    n = count_parameters(widths) + PADDING
    gated = buffers.layout.gated
    n_gates = sum(w for w, g in zip(widths[:-1], gated, strict=True) if g)
    assert arrays["theta"].size == n
    assert arrays["first"].size == (n if n_moments > 0 else 0)
    assert arrays["second"].size == (n if n_moments > 1 else 0)
    assert arrays["average"].size == arrays["snapshot"].size == 0
    assert arrays["log_odds"].size == arrays["on_count"].size == n_gates
    assert arrays["values"].size == 5 * sum(padded(w) for w in widths)
    assert arrays["deltas"].size == 5 * sum(padded(w) for w in widths[1:-1])
    assert arrays["losses"].shape == (5,)
    assert arrays["rows"].shape == (2, 5)
    assert arrays["draws"].size == DRAWS_AHEAD * n_gates
    assert arrays["targets"].shape == (5, 2)
    np.testing.assert_array_equal(arrays["columns"], np.arange(widths[0]))
    assert buffers.nbytes == sum(a.nbytes for a in arrays.values())


def changed(buffers, rng):
    """Change the size of buffers in one of the ways there are."""
    layout = buffers.layout
    way = rng.integers(7)
    if way == 0:
        buffers.shrink(random_keep(layout.widths, seed=int(rng.integers(2**31))))
    elif way == 1:
        buffers.resize_batch(int(rng.integers(1, 9)), int(rng.integers(1, 4)))
    elif way == 2:
        pairs = zip(layout.widths, layout.gated, strict=False)
        buffers.fold_gates([np.ones(w, np.float32) if g else None for w, g in pairs])
    elif way == 3:
        buffers.open_gates([bool(flag) for flag in rng.integers(2, size=len(layout.gated))], 1.0)
    elif way == 4:
        buffers.average_weights(0.5)
    elif way == 5:
        buffers.allow_snapshot(bool(rng.integers(2)))
    else:
        buffers.forget_average()


@pytest.mark.parametrize("seed", range(20))
def test_a_layout_tells_the_bytes_of_buffers_after_any_changes(seed):
    rng = np.random.default_rng(seed)
    widths = tuple(int(w) for w in rng.integers(1, 40, rng.integers(2, 6)))
    buffers = Buffers(
        laid_out(
            widths,
            GATED[seed % 3],
            batch_size=int(rng.integers(1, 9)),
            n_moments=int(rng.integers(3)),
            n_threads=int(rng.integers(1, 4)),
            averaged=bool(rng.integers(2)),
            snapshot=bool(rng.integers(2)),
        )
    )
    for _ in range(12):
        arrays = buffers.arrays()
        assert buffers.is_consistent
        assert buffers.layout.nbytes == buffers.nbytes == sum(a.nbytes for a in arrays.values())
        fresh = Buffers(buffers.layout).arrays()
        assert {n: (a.shape, a.dtype) for n, a in arrays.items()} == {
            n: (a.shape, a.dtype) for n, a in fresh.items()
        }
        np.testing.assert_array_equal(arrays["widths"], buffers.widths)
        np.testing.assert_array_equal(arrays["gate_start"], buffers.gate_starts())
        del arrays, fresh
        changed(buffers, rng)


def test_a_small_network_takes_the_bytes_that_a_count_by_hand_gives():
    """Rows of 16 floats, tiles of 8 rows and 48 columns, on any machine."""
    flat = 3 * 4 * (14 * 11 + 12 * 7 + 15)  # weights and two moments, with an overhang
    gates = (13 + 11) * (8 * 4 + 2 * 8)
    units = 3 * 4 * 13 + 3 * 4 * (13 + 11 + 7)  # columns, active units
    of_a_row = 4 * (16 + 16 + 16) + 4 * 16 + 4 * 2 + 8 + 2 * 4  # A, D, targets, losses, numbers
    of_a_thread = 13 + 4 * (13 * 16 + 32)  # marks, scattered columns
    draws = 4 * 32 * (13 + 11)
    small = 4 * 2 + 3 * 8 + 8 * (3 + 4 + 3 + 2)
    expected = flat + gates + units + 5 * of_a_row + 2 * of_a_thread + draws + small
    assert laid_out((13, 11, 7), batch_size=5, n_threads=2).nbytes == expected


WIDE = (784, 300, 100, 10)
#: Bytes of layouts, and the rows of a mini-batch, moments and threads that budgets leave.
NBYTES = {
    (WIDE, (True, True), 128): 4_421_868,
    (WIDE, (False, False), 128): 4_082_156,
    ((64, 200, 100, 10), (True, True), 200): 1_098_364,
    ((4, 50, 1), (False, True), 200): 148_160,
}
BUDGETS = {
    (WIDE, "4MB"): (63, 2, 1),
    (WIDE, "3MB"): (73, 1, 1),
    ((64, 200, 100, 10), "600kB"): (28, 2, 1),
    ((64, 30, 20, 10), "50kB"): None,
    ((64, 30, 20, 10), "70kB"): (19, 1, 1),
    ((64, 30, 20, 10), "510kB"): (500, 2, 3),
}


def test_bytes_and_budgets_are_those_of_any_machine():
    for (widths, gates, batch_size), nbytes in NBYTES.items():
        layout = laid_out(widths, gates, batch_size)
        assert layout.nbytes == nbytes, (widths, layout.nbytes)
    for (widths, budget), expected in BUDGETS.items():
        wish = laid_out(widths, batch_size=500, n_threads=4)
        found = fit_into(wish, parse_bytes("memory_budget", budget), fewest_rows=8)
        found = found and (found.batch_size, found.n_moments, found.n_threads)
        assert found == expected, (widths, budget, found)


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_every_thread_has_its_own_marks_and_scratch(n_threads):
    one, several = (
        Buffers(laid_out((13, 11, 7), batch_size=5, n_threads=n)).arrays() for n in (1, n_threads)
    )
    for name in one:
        if name in ("nonzero", "scratch"):
            assert several[name].shape == (n_threads, *one[name].shape[1:])
        else:
            assert several[name].shape == one[name].shape
    # Rows of a gradient and one more, or a panel of scattered columns; then another line.
    n_most = max((MAX_TILE_ROWS + 1) * 11, 13 * padded(11))
    assert several["scratch"].shape[1] >= n_most + PADDING


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("gates", GATED)
def test_addresses_of_all_arrays_are_lent_with_the_shape_they_have(gates, n_threads):
    buffers = Buffers(laid_out((13, 11, 7), gates, n_threads=n_threads))
    for keep in (None, random_keep((13, 11, 7))):
        if keep:
            buffers.shrink(keep)
        arrays, widths = buffers.arrays(), buffers.widths
        lent = {
            name: value for part in buffers.pointers() for name, value in part._asdict().items()
        }
        shape = {name: lent.pop(name) for name in set(lent) - set(arrays)}
        assert shape == {
            "n_layers": 2,
            "n_gates": len(arrays["log_odds"]),
            "n_targets": 2,
            "n_scratch": arrays["scratch"].shape[1],
        }
        assert lent == {name: arrays[name].ctypes.data for name in lent}
        assert set(arrays) - set(lent) == {"draws", "average", "snapshot"}
        np.testing.assert_array_equal(arrays["widths"], widths)
        starts = {(True, True): [0, widths[0]], (False, True): [-1, 0], (False, False): [-1, -1]}
        np.testing.assert_array_equal(arrays["gate_start"], starts[gates])


def test_an_epoch_begins_where_x_lies_with_its_prices_and_without_tallies():
    buffers = buffers_with_numbers((3, 2, 4))
    before = {name: a.copy() for name, a in buffers.arrays().items()}
    source = RowSource(np.zeros((7, 3), np.float32))
    buffers.begin_epoch(source)
    buffers.set_l0_gradient(np.array([2, 2, 2, 4, 4], np.float32))
    buffers.reset_gate_counts()
    after = buffers.arrays()
    marks = np.zeros(3, np.int32)
    n_marks = source.landmarks(np.arange(3, dtype=np.int32), marks)
    np.testing.assert_array_equal(after["n_prefetch_columns"], n_marks)
    np.testing.assert_array_equal(after["prefetch_columns"][:n_marks], marks[:n_marks])
    np.testing.assert_array_equal(after["l0_gradient"], [2, 2, 2, 4, 4])
    assert not after["on_count"].any()
    assert not after["on_sum"].any()
    for name in set(after) - {
        "l0_gradient",
        "on_count",
        "on_sum",
        "prefetch_columns",
        "n_prefetch_columns",
    }:
        np.testing.assert_array_equal(after[name], before[name])


def test_layers_and_sets_are_views_in_the_documented_layout():
    buffers = buffers_with_numbers((3, 2, 4))
    theta = buffers.arrays()["theta"]
    for layer, (weights, bias) in enumerate(
        problems.split(theta, (3, 2, 4))[k : k + 2] for k in (0, 2)
    ):
        for found, expected in zip(buffers.layer(layer), (weights, bias), strict=True):
            np.testing.assert_array_equal(found, expected)
            assert np.shares_memory(found, theta)
    inputs, hidden = buffers.per_layer("log_odds")
    np.testing.assert_array_equal(np.concatenate([inputs, hidden]), buffers.arrays()["log_odds"])
    assert (len(inputs), len(hidden)) == (3, 2)


def test_squared_norm_is_that_of_the_weights_without_biases():
    buffers = buffers_with_numbers((3, 2, 4))
    weights = problems.split(buffers.arrays()["theta"].astype(float), (3, 2, 4))[::2]
    assert buffers.squared_norm() == pytest.approx(sum((w**2).sum() for w in weights))


# --- shrinking -----------------------------------------------------------------------


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("n_moments", [1, 2])
@pytest.mark.parametrize("gates", GATED)
@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_shrinking_keeps_the_right_numbers_and_cuts_every_array(widths, gates, n_moments, averaged):
    buffers = buffers_with_numbers(widths, gates, n_moments=n_moments, averaged=averaged)
    gated = buffers.layout.gated
    before = {name: a.copy() for name, a in buffers.arrays().items()}
    keep = random_keep(widths)
    buffers.shrink(keep)
    after = buffers.arrays()
    kept = (*(int(k.sum()) for k in keep), widths[-1])
    assert buffers.widths == kept
    assert buffers.is_consistent
    every = [*keep, np.ones(widths[-1], dtype=bool)]
    optional = {"second": n_moments == 2, "average": averaged}
    for name in ("theta", "first", *(name for name, there in optional.items() if there)):
        packed = naive.pack_weights(before[name], widths, every)
        np.testing.assert_array_equal(after[name][:-PADDING], packed)
        np.testing.assert_array_equal(after[name][-PADDING:], np.zeros(PADDING))
    flags = np.concatenate([[], *(k for k, g in zip(keep, gated, strict=True) if g)]).astype(bool)
    per_gate = [name for name, a in before.items() if a.shape == before["log_odds"].shape]
    assert not flags.size or {"gate_first", "gate_second", "on_count", "on_sum"} <= {*per_gate}
    for name in ("log_odds", "gate_first", "gate_second", "l0_gradient", "on_count", "on_sum"):
        np.testing.assert_array_equal(after[name], before[name][flags])
    np.testing.assert_array_equal(after["columns"], np.flatnonzero(keep[0]))
    fresh = Buffers(laid_out(kept, gates, n_moments=n_moments, averaged=averaged)).arrays()
    assert {n: (a.shape, a.dtype) for n, a in after.items()} == {
        n: (a.shape, a.dtype) for n, a in fresh.items()
    }


def test_shrinking_twice_is_shrinking_once_by_both():
    widths = (17, 13, 11, 5)
    twice, once = (buffers_with_numbers(widths) for _ in range(2))
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
    buffers = buffers_with_numbers((13, 11, 7))
    before = {name: id(a) for name, a in buffers.arrays().items()}
    buffers.shrink(random_keep((13, 11, 7)))
    after = buffers.arrays()
    assert {name: id(a) for name, a in after.items()} == before
    assert all(a.base is None and a.flags.owndata for a in after.values())


SCRATCH = (
    *(
        "read_columns",
        "nonzero",
        "active",
        "active_gate",
        "active_bias",
        "values",
        "deltas",
        "scratch",
    ),
    *("draws", "rows", "losses", "n_active", "job", "prefetch_columns", "n_prefetch_columns"),
)
HOLDERS = {
    "theta": lambda b: b.layer(0)[0],
    "gates": lambda b: b.per_layer("log_odds")[0],
    "draws": lambda b: b.draws(3),
    "columns": lambda b: b.columns,
    "arrays": lambda b: b.arrays(),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_a_view_that_somebody_holds_keeps_its_memory_and_nothing_else(holder):
    keep = random_keep((13, 11, 7))
    buffers = buffers_with_numbers((13, 11, 7))
    free = buffers_with_numbers((13, 11, 7))
    held = HOLDERS[holder](buffers)
    addresses = {name: a.__array_interface__["data"][0] for name, a in buffers.arrays().items()}
    buffers.shrink(keep)
    free.shrink(keep)
    assert buffers.is_consistent
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
    buffers = buffers_with_numbers((13, 11, 7))
    before = {name: a.copy() for name, a in buffers.arrays().items()}
    buffers.resize_batch(batch_size, 1)
    fresh = Buffers(laid_out((13, 11, 7), batch_size=batch_size)).arrays()
    for name, array in buffers.arrays().items():
        assert array.shape == fresh[name].shape
        if name not in ("values", "deltas", "targets", "losses", "rows"):
            np.testing.assert_array_equal(array, before[name])
    assert buffers.batch_size == batch_size
    assert buffers.is_consistent


# --- a budget ------------------------------------------------------------------------


@st.composite
def wishes(draw):
    """A layout that is wished for, and the fewest rows of its mini-batches."""
    widths = draw(st.lists(st.integers(1, 60), min_size=2, max_size=5))
    batch_size = draw(st.integers(1, 300))
    wished = laid_out(
        widths,
        draw(st.sampled_from(GATED)),
        batch_size=batch_size,
        n_moments=draw(st.integers(1, 2)),
        n_threads=draw(st.integers(1, 8)),
    )
    return wished, min(draw(st.integers(1, 20)), batch_size)


@given(wishes(), st.floats(0.1, 1.2))
def test_what_fits_into_a_budget_is_as_much_as_fits(wish, share):
    """No layout of more rows, threads or moments does, in the order in which they are given up."""
    wished, fewest = wish
    budget = int(share * wished.nbytes)
    found = fit_into(wished, budget, fewest)
    smallest = replace(wished, batch_size=fewest, n_threads=1, n_moments=1)
    if found is None:
        assert smallest.nbytes > budget
        return
    assert found.nbytes <= budget
    unchanged = ("widths", "n_targets", "gated", "averaged")
    assert all(getattr(found, name) == getattr(wished, name) for name in unchanged)
    assert fewest <= found.batch_size <= wished.batch_size
    assert 1 <= found.n_threads <= wished.n_threads
    assert 1 <= found.n_moments <= wished.n_moments
    one = replace(found, n_threads=1)
    # The number of threads changes nothing that decides about the network.
    assert fit_into(replace(wished, n_threads=1), budget, fewest) == one
    if found.batch_size < wished.batch_size:
        assert replace(one, batch_size=found.batch_size + 1).nbytes > budget
    if found.n_threads < wished.n_threads:
        assert replace(found, n_threads=found.n_threads + 1).nbytes > budget
    if found.n_moments < wished.n_moments:
        assert replace(smallest, n_moments=wished.n_moments).nbytes > budget


@given(wishes())
def test_the_whole_fits_into_its_own_bytes_and_the_smallest_into_no_less(wish):
    wished, fewest = wish
    assert fit_into(wished, wished.nbytes, fewest) == wished
    smallest = replace(wished, batch_size=fewest, n_threads=1, n_moments=1)
    assert fit_into(wished, smallest.nbytes, fewest) == smallest
    assert fit_into(wished, smallest.nbytes - 1, fewest) is None


# --- gates and averages --------------------------------------------------------------


def deterministic(buffers):
    """Gates of the deterministic network, in float32; None where there are none."""
    return [
        None if a is None else np.clip(1.2 * naive.sigmoid(a) - 0.1, 0, 1).astype(np.float32)
        for a in buffers.per_layer("log_odds")
    ]


def logits(buffers, gates, X):
    layers = [buffers.layer(index) for index in range(len(buffers.widths) - 1)]
    network = naive.Network(*zip(*layers, strict=True), gates)
    gates = [np.ones(len(w)) if z is None else z for (w, _), z in zip(layers, gates, strict=True)]
    return naive.forward(network, X, gates)[1][-1]


@pytest.mark.parametrize("n_moments", [0, 1, 2])
@pytest.mark.parametrize("gated", [(True, True, True), (False, True, True), (False, False, True)])
def test_folding_leaves_the_deterministic_network_as_it_was(gated, n_moments):
    problem = problems.problem((13, 11, 7, 3), gated=gated, closed=0)
    buffers = Buffers(replace(problems.layout_of(problem), n_moments=n_moments))
    problems.fill(buffers, problem)
    rng = np.random.default_rng(0)
    moments = {name: buffers.arrays()[name] for name in ("first", "second")}
    for array in moments.values():
        array[:] = rng.uniform(0.1, 1.0, array.size)
    before = {
        name: problems.split(array.copy(), buffers.widths)
        for name, array in moments.items()
        if array.size
    }
    biases = [buffers.layer(k)[1].copy() for k in range(3)]
    gates = deterministic(buffers)
    assert all(z is None or (z.min() > 0 and z.min() < 1) for z in gates)
    expected = logits(buffers, gates, problem.X)
    del moments, array
    buffers.fold_gates(gates)
    assert buffers.layout.gated == (False,) * 3
    assert buffers.per_layer("log_odds") == [None] * 3
    assert buffers.layout.n_gates == buffers.arrays()["draws"].size == 0
    np.testing.assert_allclose(
        logits(buffers, [None] * 3, problem.X), expected, rtol=1e-4, atol=1e-5
    )
    for power, (name, arrays) in enumerate(before.items(), start=1):
        for k, z in enumerate(gates):
            weights, bias = buffers.layer(k, name)
            scale = 1.0 if z is None else z[:, None].astype(float) ** power
            np.testing.assert_allclose(weights, arrays[2 * k] / scale, rtol=1e-5)
            np.testing.assert_array_equal(bias, arrays[2 * k + 1])
    for k, bias in enumerate(biases):
        np.testing.assert_array_equal(buffers.layer(k)[1], bias)


def test_a_step_after_folding_is_that_of_weights_which_always_were_such():
    """Adam on w' = z * w, its moments divided by z and z squared."""
    problem = problems.problem((5, 3), gated=(False,), n_rows=4, batch_size=4, dark=0)
    settings = naive.Settings(epsilon=1e-12)
    z = np.linspace(0.25, 1.0, 5).astype(np.float32)
    gated = problems.problem((5, 3), closed=None, n_rows=4, batch_size=4, dark=0)
    folded = Buffers(problems.layout_of(gated))
    problems.fill(folded, gated)
    always = problems.buffers_of(problem)
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 0.1, (5, 3)), rng.uniform(0.1, 1.0, (5, 3))
    weights = rng.normal(size=(5, 3))
    for buffers, scale in ((folded, z[:, None].astype(float)), (always, np.ones((5, 1)))):
        # The gradient by w is z times that by w'.
        buffers.layer(0)[0][:] = weights / scale
        buffers.layer(0, "first")[0][:] = first * scale
        buffers.layer(0, "second")[0][:] = second * scale**2
        buffers.layer(0)[1][:] = 0.0
    folded.fold_gates([z])
    folded.begin_epoch(RowSource(problem.X))
    for buffers in (folded, always):
        problems.run(buffers, problem, settings)
    for name in ("theta", "first", "second"):
        problems.assert_close([folded.arrays()[name]], [always.arrays()[name]], 1e-5)


def in_units(loss, y, ratio, center):
    """Numbers in units 1 / ratio times as large, and what that means for outputs."""
    n_outputs = y.shape[1]
    ratios = np.full(n_outputs, ratio)
    if loss == "poisson":
        return y * ratio, np.ones(n_outputs), np.log(ratios), ratios
    slope = ratios if loss == "squared_error" else np.ones(n_outputs)
    return (y - center) * ratio, ratios, np.full(n_outputs, -center * ratio), slope


def numbers_problem(loss, batch_size):
    """A problem with numbers as targets, and settings that move nothing."""
    problem = problems.problem((7, 5, 3), "tanh", loss, n_rows=12, batch_size=batch_size)
    targets = np.random.default_rng(0).gamma(2.0, size=problem.targets.shape).astype(np.float32)
    settings = naive.Settings(rate=0.0, gate_rate=0.0, alpha=0.0, lam=0.0)
    return replace(problem, targets=targets), settings


MOMENTS = ("first", "second", "gate_first", "gate_second")


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_moments_are_as_if_smaller_units_of_the_outputs_had_been_such_from_the_start(
    loss, batch_size
):
    problem, settings = numbers_problem(loss, batch_size)
    targets, *change = in_units(loss, problem.targets, 1 / 64, 2.0)
    late, always = problems.buffers_of(problem, settings), problems.buffers_of(problem, settings)
    problems.run(late, problem, settings)
    late.rescale_outputs(*change)
    always.rescale_outputs(*change)
    problems.run(always, replace(problem, targets=targets.astype(np.float32)), settings)
    for name in MOMENTS:
        assert late.arrays()[name].any()
        tolerance = 1e-4 if loss != "absolute_error" else 1e-3
        problems.assert_close(
            [late.arrays()[name]], [always.arrays()[name]], tolerance, floor=1e-30
        )
    np.testing.assert_allclose(late.arrays()["theta"], always.arrays()["theta"], rtol=1e-6)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson"])
def test_moments_stay_where_derivatives_become_larger(loss):
    problem, settings = numbers_problem(loss, 4)
    buffers = problems.buffers_of(problem, settings)
    problems.run(buffers, problem, settings)
    before = {name: buffers.arrays()[name].copy() for name in MOMENTS}
    buffers.rescale_outputs(*in_units(loss, problem.targets, 64.0, 2.0)[1:])
    for name, array in before.items():
        np.testing.assert_array_equal(buffers.arrays()[name], array)


def test_a_velocity_goes_along_with_the_weights():
    """A step of gradient descent under way leads to the same outputs in other units."""
    problem, _ = numbers_problem("squared_error", 4)
    settings = naive.Settings(solver="sgd", rate=0.01, gate_rate=0.0, alpha=0.0, lam=0.0)
    buffers = problems.buffers_of(problem, settings)
    problems.run(buffers, problem, settings)
    velocity = [buffers.layer(k, "first") for k in range(2)]
    before = [[part.copy() for part in layer] for layer in velocity]
    factor = np.array([0.5, 1.0, 30.0])
    gates = buffers.arrays()["gate_second"].copy()
    buffers.rescale_outputs(factor, np.array([1.0, 0.0, -2.0]), factor)
    for part, old in zip(velocity[0], before[0], strict=True):
        np.testing.assert_array_equal(part, old)
    for part, old in zip(velocity[1], before[1], strict=True):
        np.testing.assert_allclose(part, factor * old, rtol=1e-6)
    # Those of gates are Adam's with any solver.
    np.testing.assert_allclose(buffers.arrays()["gate_second"], gates / 16, rtol=1e-6)


@pytest.mark.parametrize("n_moments", [0, 1, 2])
@pytest.mark.parametrize("widths", [(7, 3), (13, 11, 3)])
def test_outputs_in_other_units_and_pulled(widths, n_moments):
    buffers = buffers_with_numbers(widths, n_moments=n_moments)
    last = len(widths) - 2
    hidden = buffers.layer(0)[0].copy()
    values = np.random.default_rng(0).normal(size=(5, widths[last]))

    def outputs():
        weights, biases = buffers.layer(last)
        return values @ weights.astype(float) + biases

    expected = outputs()
    factor, shift = np.array([0.25, 3.0, 1.0]), np.array([-7.0, 0.5, 0.0])
    buffers.rescale_outputs(factor, shift, factor)
    expected = factor * expected + shift
    np.testing.assert_allclose(outputs(), expected, rtol=1e-5)
    share, step = np.array([0.9, 1.0, 1.0]), np.array([0.0, 0.1, 0.0])
    buffers.pull_outputs(share, step)
    np.testing.assert_allclose(outputs(), share * expected + step, rtol=1e-5)
    if last > 0:
        np.testing.assert_array_equal(buffers.layer(0)[0], hidden)


def test_opened_gates_all_begin_alike_and_leave_the_weights_alone():
    buffers = buffers_with_numbers((13, 11, 7))
    before = {n: buffers.arrays()[n].copy() for n in ("theta", "first", "second", "columns")}
    buffers.fold_gates([np.ones(13, np.float32), np.ones(11, np.float32)])
    buffers.open_gates((False, True), 2.4)
    assert buffers.layout == laid_out((13, 11, 7), (False, True))
    arrays = buffers.arrays()
    np.testing.assert_array_equal(arrays["log_odds"], np.full(11, 2.4, np.float32))
    for name in ("gate_first", "gate_second", "on_count", "on_sum"):
        np.testing.assert_array_equal(arrays[name], np.zeros(11))
    for name, array in before.items():
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("widths", [(3, 2), (300, 100, 10)], ids=str)  # below and above one block
def test_weights_are_averaged_from_the_first_time_on(widths):
    buffers = buffers_with_numbers(widths)
    rng = np.random.default_rng(0)
    expected, nbytes = None, buffers.nbytes
    for share in (0.1, 0.5, 0.25):
        theta = rng.normal(size=buffers.arrays()["theta"].size).astype(np.float32)
        buffers.arrays()["theta"][:] = theta
        buffers.average_weights(share)
        expected = (
            theta.astype(float) if expected is None else (1 - share) * expected + share * theta
        )
        np.testing.assert_array_equal(buffers.arrays()["theta"], theta)
        np.testing.assert_allclose(buffers.arrays()["average"], expected, rtol=0, atol=1e-6)
    assert buffers.nbytes == nbytes + buffers.arrays()["theta"].nbytes
    best = [array.ravel() for layer in buffers.best_layers() for array in layer]
    np.testing.assert_array_equal(
        np.concatenate(best), buffers.arrays()["average"][: count_parameters(widths)]
    )
    del best
    buffers.forget_average()
    assert buffers.nbytes == nbytes
    for k, layer in enumerate(buffers.best_layers()):
        for found, own in zip(layer, buffers.layer(k), strict=True):
            assert np.shares_memory(found, own)


# --- going back ----------------------------------------------------------------------


@pytest.mark.parametrize("n_moments", [1, 2])
@pytest.mark.parametrize("gates", GATED)
def test_going_back_brings_back_weights_and_gates_and_forgets_the_rest(gates, n_moments):
    buffers = buffers_with_numbers((13, 11, 7), gates, n_moments=n_moments, snapshot=True)
    buffers.shrink(random_keep((13, 11, 7)))
    buffers.save_snapshot()
    before = {name: array.copy() for name, array in buffers.arrays().items()}
    lasting = {"theta", "log_odds"}
    forgotten = {"first", "second", "gate_first", "gate_second", "on_count", "on_sum", "step"}
    for name in lasting | forgotten:
        array = buffers.arrays()[name]
        array[: len(array) - PADDING if name == "theta" else None] = 77
    buffers.restore_snapshot()
    for name, array in buffers.arrays().items():
        expected = np.zeros_like(array) if name in forgotten else before[name]
        np.testing.assert_array_equal(array, expected, err_msg=name)


def test_a_copy_to_go_back_to_is_counted_and_of_the_size_of_the_network():
    buffers = buffers_with_numbers((13, 11, 7))
    nbytes = buffers.nbytes
    buffers.save_snapshot()  # there is no room
    assert buffers.nbytes == nbytes
    buffers.allow_snapshot(True)
    assert buffers.nbytes == nbytes + 4 * (14 * 11 + 12 * 7 + 13 + 11)
    buffers.shrink([np.arange(13) < 5, np.arange(11) < 3])
    assert buffers.arrays()["snapshot"].size == 6 * 3 + 4 * 7 + 5 + 3
    buffers.allow_snapshot(False)
    assert buffers.arrays()["snapshot"].size == 0


# --- to a checkpoint and back --------------------------------------------------------


def sound_buffers(gates=(True, True), **changes):
    """Buffers with numbers in them as they may be after an epoch."""
    buffers = buffers_with_numbers((13, 11, 7), gates, **changes)
    buffers.shrink(random_keep((13, 11, 7)))
    rng = np.random.default_rng(0)
    for name in ("log_odds", "on_count", "on_sum"):
        array = buffers.arrays()[name]
        array[:] = rng.integers(0, 4, array.size)
    buffers.arrays()["step"][0] = 12
    buffers.arrays()["nonzero_pause"][0] = 5
    return buffers


def restored(state, layout):
    buffers = Buffers(layout)
    buffers.restore(StateReader(state), layout, (layout.batch_size, 40))
    return buffers


@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("n_moments", [0, 1, 2])
@pytest.mark.parametrize("gates", GATED)
def test_restored_buffers_are_as_those_whose_state_it_is(gates, n_moments, folded):
    changes = {"n_moments": n_moments, "snapshot": True}
    buffers = sound_buffers(gates, **changes)
    if folded:
        gated = zip(buffers.per_layer("log_odds"), buffers.widths, strict=False)
        buffers.fold_gates([None if a is None else np.ones(w, np.float32) for a, w in gated])
        buffers.average_weights(1.0)
    buffers.resize_batch(8, 3)
    found = restored(buffers.state(), laid_out((13, 11, 7), gates, **changes))
    assert found.is_consistent
    assert found.layout == replace(buffers.layout, n_threads=1)  # which is the machine's business
    of_a_mini_batch = ("l0_gradient", "gate_value", "gate_slope", "on_probability", "gate_gradient")
    for name in set(found.arrays()) - {*SCRATCH, *of_a_mini_batch, "targets", "snapshot"}:
        np.testing.assert_array_equal(found.arrays()[name], buffers.arrays()[name], err_msg=name)


def test_a_state_is_of_views():
    buffers = sound_buffers()
    arrays = buffers.arrays()
    for name, value in buffers.state().items():
        if name in arrays and np.size(value) > 1 and name != "widths":
            assert np.shares_memory(value, arrays[name])


def with_entry(name, place, value):
    def change(state):
        state[name] = state[name].copy()
        state[name][place] = value

    return change


UNSOUND = {
    "wider inputs": with_entry("widths", 0, 14),
    "wider": with_entry("widths", 1, 12),
    "huge": with_entry("widths", 1, 2**62),
    "negative": with_entry("widths", 1, -1),
    "no units": with_entry("widths", 1, 0),
    "other outputs": with_entry("widths", 2, 6),
    "one unit fewer": lambda state: state.update(widths=state["widths"] - [0, 1, 0]),
    "another layer": lambda state: state.update(widths=np.array([5, 4, 3, 7])),
    "other gates": with_entry("gated", 0, False),
    "no gates": lambda state: state.update(gated=np.zeros(2, bool)),
    "smaller batch": lambda state: state.update(batch_size=3),
    "larger batch": lambda state: state.update(batch_size=41),
    "negative batch": lambda state: state.update(batch_size=-4),
    "an average": lambda state: state.update(averaged=True),
    "columns out of range": with_entry("columns", -1, 13),
    "columns below 0": with_entry("columns", 0, -1),
    "columns twice": lambda state: state.update(columns=np.zeros_like(state["columns"])),
    "columns upside down": lambda state: state.update(columns=state["columns"][::-1].copy()),
    "fewer columns": lambda state: state.update(columns=state["columns"][1:]),
    "wide columns": lambda state: state.update(columns=state["columns"].astype(np.int64)),
    "short weights": lambda state: state.update(theta=state["theta"][:-1]),
    "long weights": lambda state: state.update(theta=np.append(state["theta"], np.float32(0))),
    "wide weights": lambda state: state.update(theta=state["theta"].astype(float)),
    "square weights": lambda state: state.update(theta=state["theta"][None]),
    "NaN": with_entry("theta", 3, np.nan),
    "infinite": with_entry("theta", 3, np.inf),
    "no first moment": lambda state: state.update(first=np.zeros(0, np.float32)),
    "NaN in a moment": with_entry("first", 0, np.nan),
    "a negative second moment": with_entry("second", 0, -1.0),
    "gates too far": with_entry("log_odds", 0, 4.7),
    "a gate that is none": with_entry("log_odds", 0, np.nan),
    "a negative tally": with_entry("on_count", 0, -1),
    "a negative sum": with_entry("on_sum", 0, -1.0),
    "a negative step": lambda state: state.update(step=-1),
    "a huge step": lambda state: state.update(step=2**63),
    "a negative pause": lambda state: state.update(lit_pause=-1),
    "text": lambda state: state.update(step="12"),
    "missing": lambda state: state.pop("theta"),
    "more": lambda state: state.update(more=1),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_state_is_refused_and_changes_nothing(name):
    state = sound_buffers(n_moments=2).state()
    UNSOUND[name](state)
    buffers = buffers_with_numbers((13, 11, 7))
    before = {name: array.copy() for name, array in buffers.arrays().items()}
    with pytest.raises(StateError):
        buffers.restore(StateReader(state), buffers.layout, (buffers.batch_size, 40))
    assert buffers.is_consistent
    for name, array in buffers.arrays().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("name", ["theta", "log_odds", "second", "gate_second"])
@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_numbers_that_are_not_finite_are_seen(name, bad):
    buffers = sound_buffers()
    assert buffers.all_finite()
    values = buffers.arrays()[name]
    if name.endswith("second"):
        values[:] = 3e38  # the sum of which would overflow
        assert buffers.all_finite()
    values[-1] = bad
    assert not buffers.all_finite()


def test_a_copy_of_buffers_is_a_copy_of_all_of_them():
    buffers = buffers_with_numbers((13, 11, 7), averaged=True)
    twin = copy.deepcopy(buffers)
    assert twin.layout == buffers.layout
    twin.shrink(random_keep((13, 11, 7)))
    assert buffers.widths == (13, 11, 7)
    assert buffers.layout.nbytes == buffers.nbytes > twin.nbytes == twin.layout.nbytes


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
    original = trainer.Trainer.__init__

    def note(self, *arguments):
        made.append(self)
        original(self, *arguments)

    monkeypatch.setattr(trainer.Trainer, "__init__", note)
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
        "penalty": "fan_out",
        "finetune_fraction": 0.0,
    }
    return HardL0MLPClassifier(**{**settings, **changes})


@pytest.fixture(scope="module")
def X_y():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 200)).astype(np.float32)
    return X, np.argmax(X[:, :3], axis=1)


#: Down to a size, then a last phase without gates and with an average of the weights.
TO_A_SIZE = {
    "lam": None,
    "target_size": 0.1,
    "finetune_fraction": 0.5,
    "penalty": "size",
    "max_iter": 12,
}


@pytest.mark.usefixtures("decided_each_epoch")
@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_traced_memory_falls_as_the_reported_bytes_fall(X_y, solver, monkeypatch):
    monkeypatch.setattr(build_config, "usable_threads", lambda: 1)  # helpers come and go
    shrinking(2, solver=solver)._fit(*X_y)  # imports and fills caches
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
    # Record, row order and the targets' codes are beside the buffers, kilobytes each.
    np.testing.assert_allclose(-np.diff(traced), falls, rtol=0, atol=5_000)
    assert 0 <= traced[0] - start - reported[0] < 100_000


@pytest.mark.usefixtures("decided_each_epoch")
@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("changes", [{}, TO_A_SIZE], ids=["by price", "to a size"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_trainer_holds_the_reported_bytes_and_no_other_array(
    X_y, trainers, early_stopping, changes
):
    n_compared = 0

    def compare(epoch, freeze, entries):
        nonlocal n_compared
        (trainer,) = trainers
        aside = {id(a) for a in arrays_reachable_from(trainer._rng)}  # the generator's state
        best = trainer.history.best_network
        if best is not None:  # the best network so far, folded: the product, not the training
            assert early_stopping
            aside |= {id(a) for a in [*best.coefs, *best.intercepts, best.support]}
        found = [a for a in arrays_reachable_from(trainer) if id(a) not in aside]
        assert sum(a.nbytes for a in found) == entries["buffer_nbytes"]
        n_compared += 1

    model = shrinking(early_stopping=early_stopping, **changes)._fit(*X_y, compare)
    assert n_compared == model.n_iter_ == (12 if changes else 8)
    assert model.history_["buffer_nbytes"][-1] < model.history_["buffer_nbytes"][0]


@pytest.mark.usefixtures("decided_each_epoch")
@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("changes", [{}, TO_A_SIZE], ids=["by price", "to a size"])
def test_between_epochs_nobody_holds_a_view_of_a_buffer(X_y, trainers, changes):
    seen = []

    def look(epoch, freeze, entries):
        freeze()
        seen.append(entries["n_units"])
        if epoch == (11 if changes else 2):
            own = {id(a) for a in trainers[0].buffers.arrays().values()}
            everybody = arrays_of_the_process()
            assert own <= {id(a) for a in everybody}
            views = [a for a in everybody if id(a) not in own and id(memory_behind(a)) in own]
            assert views == []

    shrinking(**{"n_epochs": 3} | changes)._fit(*X_y, look)
    assert seen[-1] < seen[0]


@pytest.mark.usefixtures("decided_each_epoch")
@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
@pytest.mark.parametrize("changes", [{"max_iter": 3}, TO_A_SIZE], ids=["by price", "to a size"])
def test_a_fitted_classifier_holds_its_network_and_no_training_buffer(X_y, changes):
    model = shrinking(**changes)._fit(*X_y)
    held = sum(a.nbytes for a in arrays_reachable_from(model))
    product = [*model.coefs_, *model.intercepts_, model.support_, model.classes_]
    assert held == sum(a.nbytes for a in product)


@pytest.mark.filterwarnings("ignore:Training stopped at max_iter")
def test_soft_training_keeps_its_memory(X_y):
    reported = shrinking(4, pruning="soft")._fit(*X_y).history_["buffer_nbytes"]
    assert len(set(reported)) == 1
