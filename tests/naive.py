"""Slow, obvious float64 versions of what fastl0 computes, written from the formulas alone.

Imports nothing of fastl0. Functions that share a name with a kernel take the same arguments and
overwrite the same ones, but call activations and losses by name and use float64.
"""

import itertools
import math
from dataclasses import dataclass, field

import numpy as np
from scipy.special import expit, softmax

GAMMA, ZETA, BETA = -0.1, 1.1, 2 / 3
C = -BETA * math.log(-GAMMA / ZETA)
LIMIT = 4.605
#: Mini-batches after which prices follow the network.
PRICED_EVERY = 32


# --- one kernel each -----------------------------------------------------------------


def sigmoid(x):
    return expit(x)


def noise(uniforms):
    u = 1e-6 + (1 - 2e-6) * np.asarray(uniforms, float)
    return np.log(u) - np.log1p(-u)


def sample_gates(uniforms, log_odds, gates_, slopes_, on_probability_):
    s = expit((noise(uniforms) + log_odds) / BETA)
    stretched = s * (ZETA - GAMMA) + GAMMA
    gates_[:] = np.clip(stretched, 0, 1)
    between = (stretched > 0) & (stretched < 1)
    slopes_[:] = np.where(between, (ZETA - GAMMA) / BETA * s * (1 - s), 0)
    on_probability_[:] = expit(log_odds + C)


FUNCTIONS = {
    "identity": lambda a: a,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0),
}
DERIVATIVES = {  # by the pre-activation
    "identity": np.ones_like,
    "logistic": lambda a: expit(a) * expit(-a),
    "tanh": lambda a: 1 / np.cosh(np.clip(a, -300, 300)) ** 2,
    "relu": lambda a: (a > 0).astype(float),
}


def activate_(activation, values_, bias, gates):
    values_[:] = FUNCTIONS[activation](values_ + bias) * gates


def output_loss_(loss, parameter, values_, bias, targets, scale, losses_):
    logits = values_ + bias
    n_codes = 1 if loss == "softmax" else logits.shape[1]
    weights = targets[:, n_codes] if targets.shape[1] > n_codes else np.ones(len(logits))
    for i, (row, wanted, weight) in enumerate(
        zip(logits, targets[:, :n_codes], weights, strict=True)
    ):
        if weight == 0:
            losses_[i], values_[i] = 0, 0
            continue
        value, slope = loss_of(loss, parameter, row, wanted)
        losses_[i] = weight * value
        values_[i] = weight * scale * slope


def loss_of(loss, parameter, row, wanted):
    """Loss of one row of outputs, and its derivatives."""
    residual = row - wanted
    if loss == "softmax":
        y = (1 - parameter) * (np.arange(len(row)) == wanted[0]) + parameter / len(row)
        return np.logaddexp.reduce(row) - y @ row, softmax(row) - y
    if loss == "logistic":
        y = (1 - parameter) * wanted + parameter / 2
        return np.sum(np.logaddexp(0, row) - y * row), expit(row) - y
    if loss == "squared_error":
        return np.sum(residual**2) / 2, residual
    if loss == "absolute_error":
        return np.sum(np.abs(residual)), np.sign(residual)
    if loss == "huber":
        short = np.clip(residual, -parameter, parameter)
        return np.sum(short * residual - short**2 / 2), short
    if loss == "quantile":
        slope = (residual > 0) - parameter * (residual != 0)
        return slope @ residual, slope
    return np.sum(np.exp(row) - wanted * row), np.exp(row) - wanted


def sum_rows(values, out_):
    out_[:] = values.sum(axis=0)


def gather_(values, places, out_):
    out_[:] = values[places]


def scatter_(values, places, out_):
    out_[:] = 0
    out_[places] = values


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def adam_step_(theta_, first_, second_, gradient, rate, beta_1, beta_2, epsilon, decay):
    g = gradient + decay * theta_
    first_[:] = beta_1 * first_ + (1 - beta_1) * g
    second_[:] = beta_2 * second_ + (1 - beta_2) * g**2
    theta_ -= rate * first_ / (np.sqrt(second_) + epsilon)


def sgd_step_(theta_, velocity_, gradient, rate, momentum, nesterov, decay):
    g = gradient + decay * theta_
    velocity_[:] = momentum * velocity_ - rate * g
    theta_ += momentum * velocity_ - rate * g if nesterov else velocity_


def clip_log_odds_(log_odds_):
    log_odds_[:] = np.clip(log_odds_, -LIMIT, LIMIT)


# --- moving bytes --------------------------------------------------------------------


def gather(X, rows, columns, scale=None):
    block = np.asarray(X)[rows][:, columns].astype(np.float32)
    return block if scale is None else block * scale


def pack_weights(flat, widths, keep):
    """Keep the given units of a flat sequence of weights and biases."""
    parts, start = [], 0
    for fan_in, fan_out, rows, columns in zip(
        widths[:-1], widths[1:], keep[:-1], keep[1:], strict=True
    ):
        weights = flat[start : start + fan_in * fan_out].reshape(fan_in, fan_out)
        start += fan_in * fan_out
        bias = flat[start : start + fan_out]
        start += fan_out
        parts += [weights[rows][:, columns].ravel(), bias[columns]]
    return np.concatenate(parts)


# --- the network ---------------------------------------------------------------------


@dataclass
class Network:
    """Parameters of every layer; `log_odds` of the units that enter it, None without gates."""

    weights: list
    biases: list
    log_odds: list
    activation: str = "relu"
    loss: str = "softmax"

    def arrays(self):
        """All parameters: of every layer weights and biases, then all log-odds."""
        layers = zip(self.weights, self.biases, strict=True)
        gates = [a for a in self.log_odds if a is not None]
        return [array for layer in layers for array in layer] + gates

    def like(self, arrays):
        """The same network with other arrays, in the order of `arrays`."""
        n = 2 * len(self.weights)
        gates = iter(arrays[n:])
        log_odds = [None if a is None else next(gates) for a in self.log_odds]
        return Network(arrays[:n:2], arrays[1:n:2], log_odds, self.activation, self.loss)


def draw(network, uniforms):
    """Gates and their slopes, one pair for the inputs of every layer; 1 and 0 without gates."""
    gates, slopes, start = [], [], 0
    for weights, a in zip(network.weights, network.log_odds, strict=True):
        z, slope = np.ones(len(weights)), np.zeros(len(weights))
        if a is not None:
            sample_gates(uniforms[start : start + len(a)], a, z, slope, np.empty(len(a)))
            start += len(a)
        gates.append(z)
        slopes.append(slope)
    return gates, slopes


def forward(network, X, gates):
    """Ungated activations h of the units entering each layer, and each layer's pre-activations."""
    h, hidden, before = np.asarray(X, float), [], []
    for layer, (weights, bias) in enumerate(zip(network.weights, network.biases, strict=True)):
        hidden.append(h)
        before.append((gates[layer] * h) @ weights + bias)
        h = FUNCTIONS[network.activation](before[-1])
    return hidden, before


def expected_units(network):
    """Units of every layer that are open on average, inputs first, outputs last."""
    pairs = zip(network.weights, network.log_odds, strict=True)
    units = [len(w) if a is None else expit(a + C).sum() for w, a in pairs]
    return [*units, len(network.biases[-1])]


def penalty(network, kind="fan_out", surcharge=1.0):
    """Expected size of the network.

    "fan_out": on-probabilities times the weights that leave each unit. "size": the weights and
    biases of open units, with a surcharge on those of the first layer if inputs carry gates.
    """
    units = expected_units(network)
    if kind == "fan_out":
        sets = zip(units[:-1], network.weights, network.log_odds, strict=True)
        return sum(n * w.shape[1] for n, w, a in sets if a is not None)
    weights = [fan_in * fan_out for fan_in, fan_out in itertools.pairwise(units)]
    if network.log_odds[0] is not None:
        weights[0] *= surcharge
    return sum(weights) + sum(units[1:])


def prices(network, kind="fan_out", surcharge=1.0):
    """What a unit costs, for each set of units that enter a layer.

    "fan_out": the weights that leave it. "size": those between it and the open units on both
    sides, and its bias; the surcharge is on inputs, not on the units that they feed.
    """
    if kind == "fan_out":
        return [float(w.shape[1]) for w in network.weights]
    units = expected_units(network)
    layers = range(1, len(network.weights))
    return [surcharge * units[1], *(units[k - 1] + 1 + units[k + 1] for k in layers)]


def objective(network, X, targets, uniforms, alpha, lam, kind="fan_out", surcharge=1.0):
    """Mean loss, L2 term of the mini-batch and lam times the expected size."""
    gates, _ = draw(network, uniforms)
    outputs, losses = forward(network, X, gates)[1][-1], np.empty(len(X))
    output_loss_(network.loss, 0.0, outputs, 0.0, targets, 1 / len(X), losses)
    squares = sum(np.sum(w**2) for w in network.weights)
    return (losses.sum() + alpha / 2 * squares) / len(X) + lam * penalty(network, kind, surcharge)


def backward(network, X, targets, uniforms, lam=0.0, per_layer=None):
    """Sum of the losses, and gradients of mean loss + lam * penalty in the order of `arrays`.

    `per_layer` holds the prices of units, for each set that enters a layer; needed with lam.
    """
    gates, slopes = draw(network, uniforms)
    hidden, before = forward(network, X, gates)
    delta, losses = before[-1].copy(), np.empty(len(X))
    output_loss_(network.loss, 0.0, delta, 0.0, targets, 1 / len(X), losses)
    n_layers = len(network.weights)
    layers, log_odds = [None] * n_layers, [None] * n_layers
    for layer in reversed(range(n_layers)):
        weights, a = network.weights[layer], network.log_odds[layer]
        layers[layer] = [(gates[layer] * hidden[layer]).T @ delta, delta.sum(axis=0)]
        by_gated = delta @ weights.T  # derivative by z * h
        if a is not None:
            by_gate = np.sum(by_gated * hidden[layer], axis=0)
            pi = expit(a + C)
            log_odds[layer] = slopes[layer] * by_gate
            if lam:
                log_odds[layer] += lam * per_layer[layer] * pi * (1 - pi)
        if layer > 0:
            derivative = DERIVATIVES[network.activation](before[layer - 1])
            delta = by_gated * gates[layer] * derivative
    return losses.sum(), [g for layer in layers for g in layer] + [
        g for g in log_odds if g is not None
    ]


def distance_to_kinks(network, X, uniforms):
    """Smallest distance of any gate and ReLU to a place where its slope jumps."""
    gates, _ = draw(network, uniforms)
    log_odds = np.concatenate([[], *(a for a in network.log_odds if a is not None)])
    distances = [np.abs(np.abs(noise(uniforms) + log_odds) - C)]
    if network.activation == "relu":
        distances += [np.abs(a) for a in forward(network, X, gates)[1][:-1]]
    return min((d.min() for d in distances if d.size), default=math.inf)


@dataclass
class Settings:
    """As scikit-learn's MLPClassifier names them; gates always follow Adam."""

    solver: str = "adam"
    rate: float = 0.01
    gate_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    alpha: float = 0.0
    lam: float = 0.0  # per row of data
    penalty: str = "fan_out"
    input_price: float = 1.0


@dataclass
class State:
    """A network with its moments, in the order of `Network.arrays`, and what training tallies."""

    network: Network
    steps: int = 0
    loss: float = 0.0
    first: list = field(default_factory=list)
    second: list = field(default_factory=list)
    gradients: list = field(default_factory=list)
    on_count: np.ndarray = 0.0
    on_sum: np.ndarray = 0.0
    distance_to_kinks: float = math.inf

    def __post_init__(self):
        if not self.first:
            self.first = [np.zeros_like(a) for a in self.network.arrays()]
            self.second = [np.zeros_like(a) for a in self.network.arrays()]


def train(state, X, targets, batch_size, uniforms, settings):
    """Visit the rows of X in order, one row of `uniforms` per mini-batch; change `state`."""
    network, s = state.network, settings
    n_weights = 2 * len(network.weights)
    for step, draws in enumerate(uniforms):
        rows = slice(step * batch_size, (step + 1) * batch_size)
        n_rows = len(X[rows])
        gates, _ = draw(network, draws)
        nearest = distance_to_kinks(network, X[rows], draws)
        state.distance_to_kinks = min(state.distance_to_kinks, nearest)
        if step % PRICED_EVERY == 0:
            per_layer = prices(network, s.penalty, s.input_price)
        loss, state.gradients = backward(network, X[rows], targets[rows], draws, s.lam, per_layer)
        state.steps += 1
        state.loss += loss
        pairs = list(zip(gates, network.log_odds, strict=True))
        state.on_count += np.concatenate([[], *(z > 0 for z, a in pairs if a is not None)])
        state.on_sum += np.concatenate([[], *(expit(a + C) for _, a in pairs if a is not None)])
        correction = math.sqrt(1 - s.beta_2**state.steps) / (1 - s.beta_1**state.steps)
        for k, (theta, gradient) in enumerate(zip(network.arrays(), state.gradients, strict=True)):
            is_gate = k >= n_weights
            decay = s.alpha / n_rows if not is_gate and k % 2 == 0 else 0.0
            if s.solver == "adam" or is_gate:
                rate = (s.gate_rate if is_gate else s.rate) * correction
                adam_step_(
                    theta,
                    state.first[k],
                    state.second[k],
                    gradient,
                    rate,
                    s.beta_1,
                    s.beta_2,
                    s.epsilon,
                    decay,
                )
            else:
                sgd_step_(theta, state.first[k], gradient, s.rate, s.momentum, s.nesterov, decay)
            if is_gate:
                clip_log_odds_(theta)


def shrink(state, keep):
    """Delete units from the network and its moments, and forget the tallies."""
    network = state.network
    gated = [a is not None for a in network.log_odds]
    keep = [*keep, np.ones(len(network.biases[-1]), dtype=bool)]

    def kept(arrays):
        n = 2 * len(network.weights)
        weights = [
            w[rows][:, columns]
            for w, rows, columns in zip(arrays[:n:2], keep[:-1], keep[1:], strict=True)
        ]
        biases = [b[columns] for b, columns in zip(arrays[1:n:2], keep[1:], strict=True)]
        units = [k for k, has_gates in zip(keep[:-1], gated, strict=True) if has_gates]
        gates = [a[k] for a, k in zip(arrays[n:], units, strict=True)]
        return [a for layer in zip(weights, biases, strict=True) for a in layer] + gates

    state.first, state.second = kept(state.first), kept(state.second)
    state.network = network.like(kept(network.arrays()))
    state.loss, state.on_count, state.on_sum = 0.0, 0.0, 0.0
