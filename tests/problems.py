"""Small random problems, and the same network in the real buffers and in the naive reference."""

import copy
from dataclasses import dataclass, replace

import naive
import numpy as np

from fastl0._kernels import RowSource
from fastl0.kernel_api.codes import ACTIVATIONS, LOSSES, SOLVERS
from fastl0.kernel_api.row_order import RowOrder
from fastl0.kernel_api.structs import StepParams
from fastl0.training.buffer_layout import BufferLayout
from fastl0.training.buffers import Buffers
from fastl0.training.criteria import l0_gradient
from fastl0.training.kernels import train_batches


class NotFiniteError(Exception):
    """Training stopped at a loss that is not finite."""


@dataclass
class Problem:
    network: naive.Network
    X: np.ndarray
    targets: np.ndarray
    batch_size: int
    uniforms: np.ndarray

    @property
    def widths(self):
        return [len(self.network.weights[0]), *(len(b) for b in self.network.biases)]

    @property
    def gated(self):
        return [a is not None for a in self.network.log_odds]

    def with_uniforms(self, uniforms):
        return Problem(self.network, self.X, self.targets, self.batch_size, uniforms)


def single(array):
    """Round to float32, in float64: kernels and reference then start from the same numbers."""
    return np.asarray(array, np.float32).astype(float)


def log_odds(rng, width, share_closed):
    """That share of gates nearly always closed, the others open or undecided; None: all open."""
    if share_closed is None:
        return np.full(width, 3.0)
    a = rng.normal(0.5, 1.0, width)
    a[rng.random(width) < 0.2] = 3.0
    a[rng.permutation(width)[: round(share_closed * width)]] = -4.5
    return single(a)


def problem(
    widths,
    activation="relu",
    loss="softmax",
    *,
    gated=None,
    closed=0.4,
    dark=0.25,
    n_rows=29,
    batch_size=7,
    seed=0,
):
    """A random problem; 0.3 of X are zeros, and a share `dark` of its columns.

    Uniform numbers stay 0.02 off 0 and 1: the kernels round them to float32, half an ulp near 1
    or 3e-8, and that error is divided by their distance to 1.
    """
    rng = np.random.default_rng([seed, *widths])
    layers = list(zip(widths[:-1], widths[1:], strict=True))
    gated = [True] * len(layers) if gated is None else gated
    closed = list(closed) if isinstance(closed, tuple) else [closed] * len(layers)
    network = naive.Network(
        [
            single(rng.normal(0, np.sqrt(2 / fan_in), (fan_in, fan_out)))
            for fan_in, fan_out in layers
        ],
        [single(rng.normal(0, 0.3, fan_out)) for _, fan_out in layers],
        [
            log_odds(rng, width, share) if has_gates else None
            for width, has_gates, share in zip(widths[:-1], gated, closed, strict=True)
        ],
        activation,
        loss,
    )
    X = single(rng.normal(size=(n_rows, widths[0]))) * (rng.random((n_rows, widths[0])) < 0.7)
    X[:, rng.permutation(widths[0])[: int(dark * widths[0])]] = 0
    if loss == "softmax":
        targets = rng.integers(widths[-1], size=(n_rows, 1))
    else:
        targets = rng.integers(2, size=(n_rows, widths[-1]))
    n_gates = sum(w for w, has_gates in zip(widths[:-1], gated, strict=True) if has_gates)
    uniforms = single(rng.uniform(0.02, 0.98, (-(-n_rows // batch_size), n_gates)))
    return Problem(network, X, targets, batch_size, uniforms)


def trained(problem, settings):
    """State of the reference after all mini-batches of `problem`."""
    state = naive.State(copy.deepcopy(problem.network))
    naive.train(state, problem.X, problem.targets, problem.batch_size, problem.uniforms, settings)
    return state


def off_kinks(widths, *args, settings, margin=1e-4, **keywords):
    """A problem whose reference run stays clear of kinks, and the state it ends in.

    At a kink (of a ReLU, or where a gate reaches 0 or 1) rounding may decide for the other
    side, and gradients jump.
    """
    for seed in range(50):
        found = problem(widths, *args, seed=seed, **keywords)
        state = trained(found, settings)
        if state.distance_to_kinks > margin:
            return found, state
    raise AssertionError("no seed stays clear of kinks")


# --- the same in real buffers --------------------------------------------------------


def layout_of(problem, solver="adam", n_threads=1):
    return BufferLayout(
        widths=tuple(problem.widths),
        batch_size=problem.batch_size,
        n_targets=problem.targets.shape[1],
        n_moments=2 if solver == "adam" else 1,
        gated=tuple(problem.gated),
        n_threads=n_threads,
    )


def buffers_of(problem, settings=None, n_threads=1):
    """Buffers with the parameters of a problem, its prices set once and for all."""
    settings = settings or naive.Settings()
    buffers = Buffers(layout_of(problem, settings.solver, n_threads))
    fill(buffers, problem)
    buffers.begin_epoch(RowSource(problem.X))
    units = naive.expected_units(problem.network)
    of_units = l0_gradient(
        settings.penalty, units, buffers.widths, problem.gated, settings.input_price
    )
    buffers.set_l0_gradient(of_units)
    return buffers


def fill(buffers, problem):
    for array, value in zip(parameters(buffers), problem.network.arrays(), strict=True):
        array[:] = value


def split(flat, widths):
    """Views of the weights and biases of every layer of a flat buffer, in turn."""
    views, start = [], 0
    for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):
        stop = start + fan_in * fan_out
        views += [flat[start:stop].reshape(fan_in, fan_out), flat[stop : stop + fan_out]]
        start = stop + fan_out
    return views


def per_parameter(buffers, of_weights, of_gates):
    """Views in the order of `naive.Network.arrays`."""
    flat = buffers.arrays()[of_weights]
    gates = [view for view in buffers.per_layer(of_gates) if view is not None]
    return split(flat, buffers.widths) + gates


def parameters(buffers):
    return per_parameter(buffers, "theta", "log_odds")


def rule(problem, settings, held_open=False):
    return StepParams(
        batch_size=problem.batch_size,
        activation=ACTIVATIONS[problem.network.activation],
        loss=LOSSES[problem.network.loss],
        parameter=0.0,
        solver=SOLVERS[settings.solver],
        rate=settings.rate,
        gate_rate=settings.gate_rate,
        momentum=settings.momentum,
        nesterov=int(settings.nesterov),
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        alpha=settings.alpha,
        lam=settings.lam,
        held_open=int(held_open),
    )


def as_they_come(n_rows):
    return RowOrder(n_rows, np.zeros(0, np.int32), np.zeros(0, np.uint64))


def run(buffers, problem, settings, X=None, held_open=False):
    """Train `buffers` on all mini-batches of `problem`; return the sum of the losses."""
    tally = np.zeros(1)
    x = RowSource(problem.X if X is None else X)
    y = RowSource(problem.targets)
    done = train_batches(
        *buffers.pointers(),
        rule(problem, settings, held_open),
        x.address,
        y.address,
        as_they_come(len(problem.X)),
        0,
        problem.uniforms.astype(np.float32),
        tally,
        0,
        0,
    )
    if done < len(problem.uniforms):
        raise NotFiniteError
    return tally[0]


def n_active(buffers):
    """Units of the inputs and each hidden layer that the last mini-batch's products ran on."""
    return buffers.arrays()["n_active"][:-1].tolist()


def one_step_gradients(problem, settings):
    """Every gradient of the first mini-batch, at full size, in the order of `arrays`.

    Plain gradient descent at rate 1 leaves minus the gradient as velocity.
    """
    settings = replace(settings, solver="sgd", rate=1.0, momentum=0.0, nesterov=False)
    buffers = buffers_of(problem, settings)
    loss = run(buffers, problem, settings)
    n_weights = 2 * len(problem.network.weights)
    found = per_parameter(buffers, "first", "gate_gradient")
    return loss, [-a for a in found[:n_weights]] + found[n_weights:], n_active(buffers)


def assert_close(found, expected, tolerance, floor=1e-6):
    """Compare lists of arrays, each relative to its largest entry, or to `floor` if larger."""
    assert len(found) == len(expected)
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a.shape == b.shape
        scale = np.abs(b).max(initial=floor)
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, err_msg=f"array {number}")
