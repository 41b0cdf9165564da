"""Drawing hard-concrete gates, and their log-odds."""

import numpy as np
import pytest
from kernel_checks import EPS, LENGTHS, assert_same, both, random

from fastl0.model.hard_concrete import LOG_ODDS_LIMIT


def sampled(uniforms, log_odds):
    """Gates, slopes and on-probabilities of the kernel and of the reference."""
    blank = np.full(len(log_odds), np.nan, np.float32)
    pair = both("sample_gates", uniforms, log_odds, blank, blank, blank)
    return [arrays[2:5] for arrays in pair]


@pytest.mark.parametrize("length", LENGTHS)
def test_gates_slopes_and_on_probabilities_agree(length):
    uniforms = np.random.default_rng(1).uniform(0.02, 0.98, length).astype(np.float32)
    found, expected = sampled(uniforms, random(length, 2.0))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)
    np.testing.assert_array_equal(found[0] == 0, expected[0] == 0)
    np.testing.assert_array_equal(found[0] == 1, expected[0] == 1)


def test_gates_take_every_kind_of_value():
    uniforms = np.linspace(0.02, 0.98, 1009, dtype=np.float32)
    z, slopes, _ = sampled(uniforms, np.zeros(1009, np.float32))[0]
    closed, full = z == 0, z == 1
    assert 100 < closed.sum() < 300
    assert 100 < full.sum() < 300
    assert not slopes[closed | full].any()
    assert slopes[~(closed | full)].all()
    assert np.all(np.diff(z) >= 0)


@pytest.mark.parametrize("log_odds", [-50.0, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT, 50.0])
@pytest.mark.parametrize("uniform", [0.0, 0.5, np.nextafter(np.float32(1), np.float32(0))])
def test_gates_are_finite_at_extreme_log_odds_and_draws(log_odds, uniform):
    found, expected = sampled(np.array([uniform], np.float32), np.array([log_odds], np.float32))
    # u, rounded to float32, is up to 6e-8 / 2 off; the log-odds of u by that over 1 - u.
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=0.03)
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-5)
    assert np.isfinite(found).all()


def test_the_lowest_and_highest_draws_open_and_close_gates():
    uniforms = np.array([0.0, 0.0, 1.0, 1.0], np.float32)
    log_odds = np.array([-4.605, 4.605, -4.605, 4.605], np.float32)
    z = sampled(uniforms, log_odds)[0][0]
    np.testing.assert_array_equal(z, [0, 0, 1, 1])


def test_log_odds_are_clamped_on_both_sides():
    for length in LENGTHS:
        assert_same("clip_log_odds_", random(length, 5.0), rtol=EPS)
    assert_same("clip_log_odds_", np.array([-50, 50, 4.605, -4.605, 0], np.float32), rtol=EPS)
