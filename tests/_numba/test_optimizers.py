"""Steps of Adam and of gradient descent."""

import numpy as np
import pytest
from kernel_checks import LENGTHS, assert_same, random

from fastl0._numba.optimizers import adam_step_


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("epsilon", [1e-8, 1e-3])
def test_adam_steps_agree(length, decay, epsilon):
    theta, first, gradient = (random(length, seed=seed) for seed in range(3))
    second = 0.1 + random(length, seed=3) ** 2
    assert_same(
        "adam_step_",
        theta,
        first,
        second,
        gradient,
        0.01,
        0.9,
        0.999,
        epsilon,
        decay,
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_first_adam_step_moves_by_the_rate_whatever_the_gradient():
    gradient = np.array([1e-4, -1.0, 1e4, 0.0], np.float32)
    theta, first, second = np.zeros((3, 4), np.float32)
    correction = np.sqrt(1 - 0.999) / (1 - 0.9)
    steps = [np.float32(x) for x in (0.01 * correction, 0.9, 0.999, 1e-12, 0.0)]
    adam_step_(theta, first, second, gradient, *steps)
    np.testing.assert_allclose(theta, [-0.01, 0.01, -0.01, 0], rtol=1e-4)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("nesterov", [True, False])
def test_gradient_descent_steps_agree(length, decay, momentum, nesterov):
    theta, velocity, gradient = (random(length, seed=seed) for seed in range(3))
    assert_same(
        "sgd_step_",
        theta,
        velocity,
        gradient,
        0.1,
        momentum,
        nesterov,
        decay,
        rtol=1e-5,
        atol=1e-6,
    )
