"""What the benchmarks work on: data shaped like MNIST, networks stopped at a given size.

Everything here is made outside the measured time.
"""

import os
import pathlib
from dataclasses import fields
from functools import cache

import numpy as np

from fastl0 import HardL0MLPClassifier
from fastl0._kernels import RowSource
from fastl0.datasets import load_mnist
from fastl0.epoch import (
    Rule,
    backward_,
    draw_gates_,
    forward_,
    list_active_,
    look_for_lit_,
    update_,
)
from fastl0.jit import flush_begin, flush_end, gemm, kernel, read_rows
from fastl0.kernels import ADAM, RELU, SOFTMAX_LOSS, output_loss_
from fastl0.memory import Buffers
from fastl0.training import Data, Plan, Trainer

BATCH_SIZE = 128
WHOLE = (784, 300, 100, 10)
#: From the whole network to one of the smallest published (VIBNet).
WIDTHS = (WHOLE, (400, 200, 80, 10), (219, 214, 100, 10), (97, 71, 33, 10))
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


# --- one epoch -----------------------------------------------------------------------


class Epoch:
    """One training epoch of a network at `widths`, which stays as it is when repeated.

    "hard" and "none" train a network from which all other units have been deleted. "soft"
    deletes nothing: its network is the whole one, with the gates of all other units shut.
    """

    def __init__(self, widths, pruning, X, y):
        estimator = HardL0MLPClassifier(pruning=pruning, batch_size=BATCH_SIZE)
        settings = {f.name: getattr(estimator, f.name, None) for f in fields(Plan)}
        # The learning rates are too low to move a gate over the threshold.
        settings |= {"out_activation": "softmax", "learning_rate_init": 1e-7}
        settings |= {"gate_learning_rate_init": 1e-7}
        self.plan = Plan(**settings)
        codes = y.reshape(-1, 1)
        rows = np.arange(len(X), dtype=np.int32)
        self.data = Data(RowSource(X), RowSource(codes), rows, rows[:0], codes[:0])
        self.trainer = Trainer(self.plan, list(WHOLE), 1, np.random.default_rng(0))
        self._reach(widths, X[:2000])
        self.order = np.random.default_rng(1).permutation(rows)

    def _reach(self, widths, X):
        buffers = self.trainer.buffers
        if tuple(widths) == WHOLE:
            return
        # Selection keeps the inputs that carry most; it settles with nearly all gates open.
        keep = [np.zeros(width, bool) for width in WHOLE[:-1]]
        keep[0][np.argsort(-X.std(axis=0), kind="stable")[: widths[0]]] = True
        for flags, width in zip(keep[1:], widths[1:-1], strict=True):
            flags[:width] = True
        for flags, log_odds in zip(keep, buffers.by_set("log_odds"), strict=True):
            if log_odds is not None:
                log_odds[:] = np.where(flags, 4.0, -4.0)
        del log_odds
        if self.plan.pruning != "soft":
            buffers.shrink(keep)

    def run(self):
        return self.trainer.run_epoch(self.plan, self.data, self.order, 1e-7)


# --- single mini-batches -------------------------------------------------------------

#: Pieces of a mini-batch, to be added up.
GATES, LIT, LISTS, GATHER, FORWARD, LOSS, BACKWARD, UPDATE = (1 << k for k in range(8))
ALL_PIECES = (1 << 8) - 1


@kernel(cache=False)
def run_batches_(weights_, gates_, batch_, rule, x_source, rows, draws, limits, pieces, n_active):
    """The loop of `epoch.train_batches`, in pieces and with any limits to compaction.

    `draws` holds, for each mini-batch, uniforms for the sampler, or gate values and slopes.
    Without `LISTS` those of the last call stay.
    """
    before = flush_begin()
    widths = weights_.widths
    n_layers = len(widths) - 1
    n_outputs = widths[n_layers]
    n_active[n_layers] = n_outputs
    for k in range(len(rows)):
        if pieces & GATES:
            draw_gates_(gates_, draws[0, k])
        else:
            gates_.value[:] = draws[1, k]
            gates_.slope[:] = draws[2, k]
        unit_start = 0
        use_lit = False
        if pieces & LIT:
            use_lit = look_for_lit_(batch_, x_source, rows[k], widths[0])
        for layer in range(n_layers):
            if pieces & LISTS:
                n_active[layer] = list_active_(
                    batch_, gates_, unit_start, gates_.start[layer], widths[layer],
                    use_lit and layer == 0, limits[min(layer, 1)],
                )  # fmt: skip
            unit_start += widths[layer]
        if pieces & LISTS:
            for c in range(n_outputs):
                batch_.active[unit_start + c] = c
        if pieces & GATHER:
            for c in range(n_active[0]):
                batch_.wanted[c] = batch_.columns[batch_.active[c]]
            read_rows(
                x_source, rows[k].ctypes.data, rule.batch_size, batch_.wanted.ctypes.data,
                n_active[0], batch_.active_gate.ctypes.data, batch_.values.ctypes.data, 0,
            )  # fmt: skip
        if pieces & FORWARD:
            forward_(weights_, batch_, rule, rule.batch_size, n_active)
        if pieces & LOSS:
            low = rule.batch_size * unit_start
            high = rule.batch_size * (unit_start + n_outputs)
            outputs = batch_.values[low:high].reshape(rule.batch_size, n_outputs)
            bias = weights_.theta[len(weights_.theta) - n_outputs :]
            output_loss_(rule.loss, outputs, bias, batch_.targets)
        if pieces & BACKWARD:
            backward_(weights_, batch_, rule, rule.batch_size, n_active)
        if pieces & UPDATE:
            update_(weights_, gates_, batch_, rule, rule.batch_size, n_active)
    flush_end(before)


@kernel(cache=False)
def multiply_(shapes, a, b, out_, n_rounds):
    """Bare BLAS products; `shapes` holds trans_a, trans_b, m, n, k of each."""
    for _ in range(n_rounds):
        for trans_a, trans_b, m, n, k in shapes:
            gemm(
                trans_a, trans_b, m, n, k, a.ctypes.data, m if trans_a else k,
                b.ctypes.data, k if trans_b else n, out_.ctypes.data, n,
            )  # fmt: skip


def product_shapes(n_active):
    """Products of one mini-batch: forward, and backward for weights and for activations."""
    shapes = []
    for layer, (n_in, n_out) in enumerate(zip(n_active[:-1], n_active[1:], strict=True)):
        shapes += [(0, 0, BATCH_SIZE, n_out, n_in), (1, 0, n_in, n_out, BATCH_SIZE)]
        if layer > 0:
            shapes.append((0, 1, BATCH_SIZE, n_in, n_out))
    return np.array(shapes, dtype=np.int64)


class Products:
    """The bare products of a mini-batch whose layers have `n_active` units."""

    def __init__(self, n_active, n_rounds=1):
        self._shapes = product_shapes(n_active)
        size = max(n_active) * max(BATCH_SIZE, sorted(n_active)[-2])
        rng = np.random.default_rng(0)
        self._a, self._b, self._out = (
            rng.standard_normal(size).astype(np.float32) for _ in range(3)
        )
        self._n_rounds = n_rounds

    def run(self):
        multiply_(self._shapes, self._a, self._b, self._out, self._n_rounds)


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
        self._buffers = Buffers(widths, BATCH_SIZE, 1, adam=True, gated=[True] * (len(widths) - 1))
        self._lent = (self._buffers.weights(), self._buffers.gates(), self._buffers.batch())
        for layer, fan_in in enumerate(widths[:-1]):
            weights, _ = self._buffers.layer(layer)
            weights[:] = rng.standard_normal(weights.shape) * np.sqrt(2 / fan_in)
        for log_odds in self._buffers.by_set("log_odds"):
            log_odds[:] = 4.0
        columns = np.argsort(-X[:2000].std(axis=0), kind="stable")[: widths[0]]
        self._lent[2].columns[:] = np.sort(columns)
        self._lent[2].targets[:] = rng.integers(0, widths[-1], (BATCH_SIZE, 1))
        self._x = RowSource(X)
        self._rows = rng.integers(0, len(X), (n_batches, BATCH_SIZE)).astype(np.int32)
        self._rule = Rule(
            batch_size=BATCH_SIZE, activation=RELU, loss=SOFTMAX_LOSS, solver=ADAM, rate=1e-9,
            gate_rate=1e-9, momentum=0.9, nesterov=True, beta_1=0.9, beta_2=0.999, epsilon=1e-8,
            alpha=1e-4, lam=1e-6,
        )  # fmt: skip
        shares = [open_inputs] + [open_hidden] * (len(widths) - 2)
        self._draws = self._draw(rng, widths[:-1], shares)
        self.n_active = np.array(widths, dtype=np.int64)

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
            pieces = LISTS | GATHER | FORWARD | LOSS | BACKWARD | UPDATE
        run_batches_(
            *self._lent, self._rule, self._x.address, self._rows, self._draws,
            np.array(limits, np.float32), pieces, self.n_active,
        )  # fmt: skip
