import naive
import numpy as np
import pytest
from scipy.special import expit

from fastl0._numba.gates import sample_gates
from fastl0.model import hard_concrete


@pytest.mark.parametrize(
    ("log_odds", "probability"),
    [(-4.605, 0.047), (-2.398, 0.310), (-1.599, 0.500), (0, 0.832), (1.386, 0.952)],
)
def test_on_probabilities_are_those_of_the_table(log_odds, probability):
    assert hard_concrete.on_probability([log_odds])[0] == pytest.approx(probability, abs=5e-4)


@pytest.mark.parametrize("probability", [1e-6, 0.047, 0.5, 0.9, 1 - 1e-9])
def test_log_odds_of_a_probability_have_that_probability(probability):
    log_odds = hard_concrete.log_odds_of(probability)
    assert hard_concrete.on_probability([log_odds])[0] == pytest.approx(probability, rel=1e-9)


def test_certainty_has_infinite_log_odds():
    assert hard_concrete.log_odds_of(0.0) == -np.inf
    assert hard_concrete.log_odds_of(1.0) == np.inf


def test_shift_is_minus_beta_log_of_minus_gamma_over_zeta():
    assert pytest.approx(1.598597, abs=1e-6) == hard_concrete.SHIFT
    assert (hard_concrete.GAMMA, hard_concrete.ZETA, hard_concrete.BETA) == (-0.1, 1.1, 2 / 3)
    lowest = hard_concrete.on_probability([-hard_concrete.LOG_ODDS_LIMIT])[0]
    assert lowest == pytest.approx(0.047, abs=5e-4)


@pytest.mark.parametrize("form", [hard_concrete.on_probability, hard_concrete.deterministic_gate])
def test_closed_forms_agree_with_the_formula_without_overflow(form):
    log_odds = np.array([-800.0, -50, -4.605, -1e-9, 0, 1e-300, 3, 50, 800])
    expected = {
        hard_concrete.on_probability: expit(log_odds + naive.C),
        hard_concrete.deterministic_gate: np.clip(expit(log_odds) * 1.2 - 0.1, 0, 1),
    }[form]
    with np.errstate(over="raise", invalid="raise"):
        found = form(log_odds)
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert found.dtype == np.float64


@pytest.mark.parametrize("form", [hard_concrete.on_probability, hard_concrete.deterministic_gate])
@pytest.mark.parametrize("log_odds", [[], [0.0], np.zeros(3, np.float32)])
def test_closed_forms_keep_the_shape_and_compute_in_float64(form, log_odds):
    found = form(log_odds)
    assert found.shape == (len(log_odds),)
    assert found.dtype == np.float64


def test_the_deterministic_gate_is_zero_up_to_log_odds_of_minus_2_398():
    edge = -np.log(11)  # sigmoid(a) * 1.2 = 0.1
    assert edge == pytest.approx(-2.398, abs=2e-4)
    z = hard_concrete.deterministic_gate(
        [-10, edge - 1e-6, edge + 1e-6, -edge - 1e-6, -edge + 1e-6, 10]
    )
    assert z[0] == z[1] == 0
    assert 0 < z[2] < 1e-6
    assert 1 - 1e-6 < z[3] < 1
    assert z[4] == z[5] == 1


@pytest.mark.parametrize("log_odds", [-4.605, -2.398, -1.599, 0.0, 1.386, 4.605])
def test_gates_are_closed_full_and_between_as_often_as_the_closed_forms_say(log_odds):
    n = 100_000
    uniforms = np.random.default_rng(0).random(n, dtype=np.float32)
    z, slopes, pi = np.empty((3, n), np.float32)
    sample_gates(uniforms, np.full(n, log_odds, np.float32), z, slopes, pi)
    full = expit(log_odds - naive.C)
    on = hard_concrete.on_probability([log_odds])[0]
    for happened, probability in ((z > 0, on), (z == 1, full), ((z > 0) & (z < 1), on - full)):
        sigma = np.sqrt(probability * (1 - probability) / n)
        assert abs(happened.mean() - probability) < 5 * sigma
    np.testing.assert_allclose(pi, on, rtol=1e-6)


def test_the_mean_slope_is_the_slope_of_the_mean_gate():
    """d E[z] / da, by central differences of the mean over the same draws."""
    n, step = 100_000, 0.05
    uniforms = np.random.default_rng(0).random(n, dtype=np.float32)

    def mean(log_odds, which):
        drawn = np.empty((3, n), np.float32)
        sample_gates(uniforms, np.full(n, log_odds, np.float32), *drawn)
        return drawn[which].mean(dtype=float)

    for a in (-1.0, 0.0, 2.0):
        difference = (mean(a + step, 0) - mean(a - step, 0)) / (2 * step)
        assert difference == pytest.approx(mean(a, 1), rel=2e-3)


@pytest.mark.parametrize("droprate", [0.05, 0.2, 0.5, 0.9])
def test_initial_log_odds_scatter_closely_around_those_of_the_droprate(droprate):
    a = hard_concrete.initial_log_odds(droprate, 10_000, np.random.default_rng(0))
    assert a.dtype == np.float32
    centre = np.log((1 - droprate) / droprate)
    assert abs(a.mean() - centre) < 5 * 0.01 / np.sqrt(10_000)
    assert a.std() == pytest.approx(0.01, rel=0.05)


def test_initial_log_odds_come_from_the_given_generator():
    draws = [
        hard_concrete.initial_log_odds(0.5, 5, np.random.default_rng(seed)) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert np.any(draws[0] != draws[2])
