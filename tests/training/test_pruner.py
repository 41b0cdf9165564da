"""What units cost and which of them go, as a network shrinks."""

from types import SimpleNamespace

import numpy as np
import problems
import pytest

from fastl0 import HardL0MLPRegressor
from fastl0.training.pruner import Pruner

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {"hidden_layer_sizes": (12,), "max_iter": 30, "random_state": 0}


def linear():
    X = np.random.default_rng(0).normal(size=(1000, 5))
    return X, X[:, 0]


@pytest.mark.parametrize("penalty", ["size", "fan_out"])
@pytest.mark.parametrize("lam", [1e3, 1e15, 1e24, 1e30, 3e38])
def test_whatever_is_dear_enough_deletes_all_there_is(lam, penalty):
    """In float32, in which the squares of such derivatives have no room."""
    settings = SETTINGS | {"lam": lam, "penalty": penalty}
    dear = HardL0MLPRegressor(**settings).fit(*linear())
    assert dear.n_units_ == (1, 1, 1)
    assert np.isfinite(dear.loss_curve_).all()


@pytest.mark.parametrize("input_price", [1e6, 1e20, 1e38])
def test_inputs_may_be_as_dear(input_price):
    dear = HardL0MLPRegressor(**SETTINGS, lam=1.0, input_price=input_price).fit(*linear())
    assert dear.n_units_[0] == 1


def test_a_price_that_float32_can_square_is_what_it_is_set_to():
    problem = problems.problem((5, 12, 1), n_rows=4, batch_size=4)
    buffers = problems.buffers_of(problem)
    config = SimpleNamespace(
        penalty="size", input_price=3.0, input_cost=0, lam=7.0, target=0, droprate_init=(0.2, 0.5)
    )
    pruner = Pruner(config, buffers)
    pruner.update_l0_at(0.0)
    assert pruner.strength_of_mean_loss(100.0) == 0.07
    pruner.l0_strength = 1e20
    dearest = max(values.max() for values in buffers.per_layer("l0_gradient"))
    assert dearest > 3.0
    assert pruner.strength_of_mean_loss(1.0) * dearest == pytest.approx(1e15)
