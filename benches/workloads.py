"""What the benchmarks work on: data shaped like MNIST, networks stopped at a given size.

Everything here is made outside the measured time.
"""

import os
import pathlib
import threading
from dataclasses import fields
from functools import cache

import numpy as np
from experiments.mnist import load_mnist
from numba import njit, types
from numba.extending import get_cython_function_address

from fastl0 import HardL0MLPClassifier
from fastl0._kernels import RowSource
from fastl0._numba import matmul
from fastl0._numba.active_units import find_nonzero_columns_, list_units_, merge_nonzero_columns_
from fastl0._numba.gates import draw_gates_, update_gates_
from fastl0._numba.jit import floats, flush_begin, flush_end, ints, kernel, longs
from fastl0._numba.layers import backward_, compute_loss_, forward_, read_batch_
from fastl0._numba.permutation import fill_rows_
from fastl0._numba.update import update_share_
from fastl0.kernel_api.codes import ADAM, RELU, SOFTMAX_LOSS
from fastl0.kernel_api.row_order import RowOrder, draw_keys
from fastl0.kernel_api.structs import StepParams
from fastl0.training.buffer_layout import BufferLayout
from fastl0.training.buffers import Buffers
from fastl0.training.config import TrainingConfig, TrainingData
from fastl0.training.threads import ThreadTeam, ThreadTuner
from fastl0.training.trainer import Trainer

BATCH_SIZE = 128
WHOLE = (784, 300, 100, 10)
#: From the whole network to one of the smallest published (VIBNet).
WIDTHS = (WHOLE, (400, 200, 80, 10), (219, 214, 100, 10), (97, 71, 33, 10))
#: The experiment of `make paper`: its price, and no last phase without gates.
PAPER = {"lam": 0.1, "penalty": "fan_out", "finetune_fraction": 0.0}
#: Of MNIST's training set.
SHARE_OF_ZEROS, N_BLACK_PIXELS = 0.809, 67

RESULTS = pathlib.Path(__file__).parent / "results"


def name_of(widths):
    return "-".join(map(str, widths))


def data_name():
    return "MNIST" if os.environ.get("FASTL0_DATA") else "random"


@cache
def load_images():
    """Training images of MNIST (FASTL0_DATA), or random ones of the same shape and sparsity."""
    folder = os.environ.get("FASTL0_DATA")
    if folder:
        mnist = load_mnist(folder)
        return mnist.X_train, mnist.y_train
    return random_images(60_000)


def random_images(n_rows, seed=0):
    """uint8 images that are dark towards the edge, with labels that depend on them."""
    rng = np.random.default_rng(seed)
    side = np.linspace(-1, 1, 28)
    # So steep that 530 pixels are lit somewhere in a mini-batch of 128, as in MNIST.
    brightness = np.exp(-6 * np.add.outer(side**2, side**2) ** 3).ravel()
    brightness[np.argsort(brightness, kind="stable")[:N_BLACK_PIXELS]] = 0
    brightness *= (1 - SHARE_OF_ZEROS) / brightness.mean()
    y = rng.integers(0, 10, n_rows, dtype=np.uint8)
    contrast = rng.uniform(0.5, 1.5, (10, 784))
    X = np.empty((n_rows, 784), np.uint8)
    for start in range(0, n_rows, 1000):
        rows = slice(start, start + 1000)
        lit = rng.random((len(y[rows]), 784)) < brightness * contrast[y[rows]]
        X[rows] = lit * rng.integers(1, 256, lit.shape)
    return X, y


def scaled(X):
    """As float32 in [0, 1]."""
    return X.astype(np.float32) / np.float32(255)


def strongest_columns(X, n_columns):
    """The columns that vary most, in order of their numbers."""
    order = np.argsort(-X[:2000].std(axis=0), kind="stable")
    return np.sort(order[:n_columns])


# --- one epoch -----------------------------------------------------------------------


class Epoch:
    """One training epoch of a network at `widths`, which stays as it is when repeated.

    "hard" and "none" train a network from which all other units have been deleted. "soft"
    deletes nothing: its network is the whole one, with the gates of all other units shut.
    A context manager: within it the helper threads live.
    """

    def __init__(self, widths, pruning, X, y, n_threads=1):
        estimator = HardL0MLPClassifier(pruning=pruning, batch_size=BATCH_SIZE, **PAPER)
        settings = {f.name: getattr(estimator, f.name, None) for f in fields(TrainingConfig)}
        settings |= {"dynamic_batch_size": False, "target": 0, "memory_limit": 0}
        # The learning rates are too low to move a gate over the threshold.
        settings |= {"loss": "softmax", "loss_parameter": 0.0, "out_activation": "softmax"}
        settings |= {"learning_rate_init": 1e-7}
        settings |= {"gate_learning_rate_init": 1e-7}
        self.config = TrainingConfig(**settings)
        codes = y.reshape(-1, 1)
        none = np.zeros(0, np.int32)
        x = RowSource(X, n_threads)
        self.data = TrainingData(x, RowSource(codes), len(X), none, float(len(X)))
        rng = np.random.default_rng(0)
        gated = (pruning != "none",) * (len(WHOLE) - 1)
        layout = BufferLayout(WHOLE, BATCH_SIZE, 1, 2, gated, n_threads)
        self.trainer = Trainer(self.config, layout, rng)
        self._reach(widths, X)
        self._team, self._tuner = ThreadTeam(n_threads), ThreadTuner(n_threads)

    def __enter__(self):
        self._team.__enter__()
        return self

    def __exit__(self, *error):
        self._team.__exit__(*error)

    def _reach(self, widths, X):
        buffers = self.trainer.buffers
        if tuple(widths) == WHOLE:
            return
        # Selection keeps the inputs that carry most; it settles with nearly all gates open.
        keep = [np.zeros(width, bool) for width in WHOLE[:-1]]
        keep[0][strongest_columns(X, widths[0])] = True
        for flags, width in zip(keep[1:], widths[1:-1], strict=True):
            flags[:width] = True
        for flags, log_odds in zip(keep, buffers.per_layer("log_odds"), strict=True):
            if log_odds is not None:
                log_odds[:] = np.where(flags, 4.0, -4.0)
        del log_odds
        if self.config.pruning != "soft":
            buffers.shrink(keep)

    def run(self):
        return self.trainer.run_epoch(self.data, 1e-7, self._team, self._tuner)


# --- single mini-batches -------------------------------------------------------------

#: Pieces of a mini-batch, to be added up.
ROWS, GATES, NONZERO, LISTS, GATHER, FORWARD, LOSS, BACKWARD, UPDATE = (1 << k for k in range(9))
ALL_PIECES = (1 << 9) - 1


@kernel
def run_batches_(weights_, gates_, batch_, rule, x_source, y_source, order, draws, limits, pieces):
    """The loop of `train_loop.train_batches` on one thread, in pieces and with any `limits`.

    `draws` holds, for each mini-batch, uniforms for the sampler, or gate values and slopes.
    Without `LISTS` those of the last call stay; so do the rows without `ROWS`.
    """
    before = flush_begin()
    n_inputs = longs(weights_.widths, 1)[0]
    n_rows = rule.batch_size
    rows = ints(batch_.rows, n_rows)
    n_gates = gates_.n_gates
    longs(batch_.job, 2)[0] = n_rows
    for k in range(draws.shape[1]):
        if pieces & ROWS:
            fill_rows_(order, k * n_rows, rows)
        if pieces & GATES:
            draw_gates_(gates_, draws[0, k], False)
        else:
            floats(gates_.gate_value, n_gates)[:] = draws[1, k]
            floats(gates_.gate_slope, n_gates)[:] = draws[2, k]
        if pieces & NONZERO:
            find_nonzero_columns_(batch_, x_source, batch_.rows, n_rows, 0, n_inputs)
            merge_nonzero_columns_(batch_, 1, n_inputs)
        if pieces & LISTS:
            list_units_(weights_, gates_, batch_, pieces & NONZERO != 0, limits[0], limits[1])
        if pieces & GATHER:
            n_in = longs(batch_.n_active, 1)[0]
            read_batch_(batch_, x_source, y_source, 0, n_rows, 0, n_in)
        if pieces & FORWARD:
            forward_(weights_, batch_, rule, 0, n_rows, 0)
        if pieces & LOSS:
            compute_loss_(weights_, batch_, rule, 0, n_rows)
        if pieces & BACKWARD:
            backward_(weights_, batch_, rule, 0, n_rows, 0)
        if pieces & UPDATE:
            update_share_(weights_, gates_, batch_, rule, 0, 1)
            update_gates_(gates_, rule, 1e-9)
    flush_end(before)


# --- bare products -------------------------------------------------------------------

# SciPy's BLAS, called straight: no Python between one product and the next.
_sgemm = types.ExternalFunctionPointer(
    types.void(*[types.voidptr] * 13),
    get_pointer=lambda _: get_cython_function_address("scipy.linalg.cython_blas", "sgemm"),
)


@njit(nogil=True)
def multiply_(shapes, a, b, out_, n_rounds):
    """Bare BLAS products, row-major; `shapes` holds trans_a, trans_b, m, n, k of each."""
    numbers = np.empty(6, np.int32)
    ones = np.array([1.0, 0.0], np.float32)
    letters = np.array([ord("N"), ord("T")], np.uint8)
    for _ in range(n_rounds):
        for trans_a, trans_b, m, n, k in shapes:
            numbers[0], numbers[1], numbers[2] = n, m, k
            numbers[3] = k if trans_b else n
            numbers[4] = m if trans_a else k
            numbers[5] = n
            # Column-major BLAS takes the transposed factors the other way round.
            _sgemm(
                letters[trans_b:].ctypes.data, letters[trans_a:].ctypes.data,
                numbers[0:].ctypes.data, numbers[1:].ctypes.data, numbers[2:].ctypes.data,
                ones.ctypes.data, b.ctypes.data, numbers[3:].ctypes.data, a.ctypes.data,
                numbers[4:].ctypes.data, ones[1:].ctypes.data, out_.ctypes.data,
                numbers[5:].ctypes.data,
            )  # fmt: skip


@kernel
def multiply_in_tiles_(n_calls, trans_a, m, n, k, a, b, out_):
    """One of the products of `SHAPES`, in register tiles; the right factor row-major."""
    row, step = (1, m) if trans_a else (k, 1)
    for _ in range(n_calls):
        matmul.matmul_(a.ctypes.data, row, step, m, b.ctypes.data, n, 0, k, out_.ctypes.data, n, n)


#: (trans_a, trans_b, m, n, k) of the products of a layer, from its fan_in and fan_out. In
#: tiles the right factor of the last one is packed beforehand, as a transpose.
SHAPES = {
    "forward": lambda n_in, n_out: (0, 0, BATCH_SIZE, n_out, n_in),
    "gradient of weights": lambda n_in, n_out: (1, 0, n_in, n_out, BATCH_SIZE),
    "gradient of activations": lambda n_in, n_out: (0, 1, BATCH_SIZE, n_in, n_out),
}


def product_shapes(n_active, n_rows=BATCH_SIZE, n_parts=1):
    """Products of one mini-batch: forward, and backward for weights and for activations.

    With `n_parts` those of one of several threads: its rows of the mini-batch and, of the
    gradients, its rows.
    """
    shapes = []
    own_rows = n_rows // n_parts
    for layer, (n_in, n_out) in enumerate(zip(n_active[:-1], n_active[1:], strict=True)):
        shapes.append((0, 0, own_rows, n_out, n_in))
        shapes.append((1, 0, -(-n_in // n_parts), n_out, n_rows))
        if layer > 0:
            shapes.append((0, 1, own_rows, n_in, n_out))
    return np.array(shapes, dtype=np.int64)


class Products:
    """The bare products of a mini-batch whose layers have `n_active` units.

    With `n_parts` each of as many Python threads does its part, and nobody waits for anybody.
    """

    def __init__(self, n_active, n_rounds=1, n_parts=1):
        self._shapes = product_shapes(n_active, n_parts=n_parts)
        size = max(n_active) * max(BATCH_SIZE, sorted(n_active)[-2])
        rng = np.random.default_rng(0)
        self._arrays = [
            [rng.standard_normal(size).astype(np.float32) for _ in range(3)] for _ in range(n_parts)
        ]
        self._n_rounds = n_rounds

    def run(self):
        threads = [
            threading.Thread(target=multiply_, args=(self._shapes, *arrays, self._n_rounds))
            for arrays in self._arrays[1:]
        ]
        for thread in threads:
            thread.start()
        multiply_(self._shapes, *self._arrays[0], self._n_rounds)
        for thread in threads:
            thread.join()


# --- mini-batches at a given share of open gates -------------------------------------


class Minibatches:
    """A network whose mini-batches have given shares of open gates.

    Parameters
    ----------
    widths : tuple of int
    open_inputs, open_hidden : float
        Share of open gates among the inputs and in each hidden layer, exact in every one of
        the mini-batches; which ones they are is drawn anew for each.
    n_columns : int
        Columns of X. More than inputs means that some have been deleted.
    """

    def __init__(self, widths, X, open_inputs=1.0, open_hidden=1.0, n_batches=16, seed=0):
        rng = np.random.default_rng(seed)
        self.n_batches = n_batches
        gated = (True,) * (len(widths) - 1)
        self._buffers = Buffers(BufferLayout(tuple(widths), BATCH_SIZE, 1, 2, gated))
        for layer, fan_in in enumerate(widths[:-1]):
            weights, _ = self._buffers.layer(layer)
            weights[:] = rng.standard_normal(weights.shape) * np.sqrt(2 / fan_in)
        for log_odds in self._buffers.per_layer("log_odds"):
            log_odds[:] = 4.0
        self._buffers.columns[:] = strongest_columns(X, widths[0])
        self._x = RowSource(X)
        self._y = RowSource(rng.integers(0, widths[-1], (len(X), 1)).astype(np.uint8))
        self._order = RowOrder(len(X), np.zeros(0, np.int32), draw_keys(rng))
        self._rule = StepParams(
            batch_size=BATCH_SIZE, activation=RELU, loss=SOFTMAX_LOSS, parameter=0.0,
            solver=ADAM, rate=1e-9, gate_rate=1e-9, momentum=0.9, nesterov=1, beta_1=0.9,
            beta_2=0.999, epsilon=1e-8, alpha=1e-4, lam=1e-6, held_open=0,
        )  # fmt: skip
        shares = [open_inputs] + [open_hidden] * (len(widths) - 2)
        self._draws = self._draw(rng, widths[:-1], shares)

    @property
    def n_active(self):
        return self._buffers.arrays()["n_active"].tolist()

    def _draw(self, rng, widths, shares):
        parts = []
        for width, share in zip(widths, shares, strict=True):
            rank = rng.random((self.n_batches, width)).argsort(axis=1).argsort(axis=1)
            parts.append(rank < max(1, round(share * width)))
        is_open = np.concatenate(parts, axis=1)
        # Of the open gates half are strictly between 0 and 1, as at the start of training.
        between = is_open & (rng.random(is_open.shape) < 0.5)
        values = np.where(between, rng.uniform(0.1, 0.9, is_open.shape), is_open)
        slopes = np.where(between, 0.5, 0.0)
        return np.stack([rng.random(is_open.shape), values, slopes]).astype(np.float32)

    def run(self, *, compact_inputs=False, compact_hidden=False, limits=None, pieces=None):
        """Train on all mini-batches, compacting always or never, or below `limits`."""
        if limits is None:
            limits = (1.0 if compact_inputs else 0.0, 1.0 if compact_hidden else 0.0)
        if pieces is None:
            pieces = ROWS | LISTS | GATHER | FORWARD | LOSS | BACKWARD | UPDATE
        run_batches_(
            *self._buffers.pointers(), self._rule, self._x.address, self._y.address, self._order,
            self._draws, np.array(limits, np.float32), pieces,
        )  # fmt: skip
