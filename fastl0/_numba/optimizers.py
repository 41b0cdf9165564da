"""Adam and gradient descent with momentum, on vectors of parameters."""

import math
from typing import NamedTuple

import numpy as np

from fastl0._numba.elementwise import power
from fastl0._numba.jit import entry, floats, kernel, multiply_add
from fastl0.kernel_api.codes import ADAM

_ONE = np.float32(1.0)  # a Python float in a kernel would turn the loop into float64


@kernel
def adam_step_(theta_, first_, second_, gradient, rate, beta_1, beta_2, epsilon, decay):
    """One Adam step (Kingma and Ba 2015, algorithm 1, in scikit-learn's arrangement).

    With ``g = gradient + decay * theta``: ``m = beta_1 * m + (1 - beta_1) * g``,
    ``v = beta_2 * v + (1 - beta_2) * g**2``, ``theta -= rate * m / (sqrt(v) + epsilon)``;
    `rate` already holds the bias correction.

    Parameters
    ----------
    theta_, first_, second_ : float32 arrays of shape (n,)
        Parameters and moments, overwritten.
    gradient : float32 array of shape (n,)
    rate, beta_1, beta_2, epsilon, decay : float32
    """
    keep_1 = _ONE - beta_1
    keep_2 = _ONE - beta_2
    for k in range(len(theta_)):
        g = multiply_add(decay, theta_[k], gradient[k])
        m = multiply_add(beta_1, first_[k], keep_1 * g)
        v = multiply_add(beta_2, second_[k], keep_2 * g * g)
        first_[k] = m
        second_[k] = v
        theta_[k] -= rate * m / (math.sqrt(v) + epsilon)


@kernel
def sgd_step_(theta_, velocity_, gradient, rate, momentum, nesterov, decay):
    """One step of gradient descent with momentum, as in scikit-learn.

    With ``g = gradient + decay * theta``: ``velocity = momentum * velocity - rate * g``;
    theta moves by it, or with Nesterov by ``momentum * velocity - rate * g``.

    Parameters
    ----------
    theta_, velocity_ : float32 arrays of shape (n,)
        Overwritten.
    gradient : float32 array of shape (n,)
    rate, momentum, decay : float32
    nesterov : int
        0 or 1.
    """
    for k in range(len(theta_)):
        step = rate * multiply_add(decay, theta_[k], gradient[k])
        v = multiply_add(momentum, velocity_[k], -step)
        velocity_[k] = v
        theta_[k] += multiply_add(momentum, v, -step) if nesterov else v


@kernel
def adam_correction(params, t):
    """Adam's bias correction in its t-th step (Kingma and Ba 2015, section 2); t an int64."""
    return np.sqrt(1.0 - power(params.beta_2, t)) / (1.0 - power(params.beta_1, t))


class SolverStep(NamedTuple):
    """Numbers of one step of the weights; the same for all of a mini-batch."""

    solver: int
    rate: np.float32
    decay: np.float32
    beta_1: np.float32
    beta_2: np.float32
    epsilon: np.float32
    momentum: np.float32
    nesterov: int


@kernel(part=True)
def make_step(params, t, decay):
    """Numbers of the t-th step; `decay` pulls the weights towards zero."""
    rate = params.rate * adam_correction(params, t) if params.solver == ADAM else params.rate
    return SolverStep(
        params.solver,
        np.float32(rate),
        np.float32(decay), np.float32(params.beta_1), np.float32(params.beta_2),
        np.float32(params.epsilon), np.float32(params.momentum), params.nesterov,
    )  # fmt: skip


@kernel
def step_(weights_, step, place, n, gradient):
    """Let the solver move n parameters from number `place` on."""
    theta, first = floats(entry(weights_.theta, place), n), floats(entry(weights_.first, place), n)
    if step.solver == ADAM:
        adam_step_(
            theta, first, floats(entry(weights_.second, place), n), floats(gradient, n),
            step.rate, step.beta_1, step.beta_2, step.epsilon, step.decay,
        )  # fmt: skip
    else:
        sgd_step_(
            theta, first, floats(gradient, n), step.rate, step.momentum, step.nesterov,
            step.decay,
        )  # fmt: skip
