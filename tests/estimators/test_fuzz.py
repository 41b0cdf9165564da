"""A few random lives of estimators; `benches/reliability/fuzz.py` tries thousands."""

from collections import Counter

import fuzzing
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor

COUNTS = Counter()


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(fuzzing.cases())
def test_whatever_is_called_with_whatever_it_is_done_or_refused(case):
    fuzzing.live(case, COUNTS)


def test_lives_are_full():
    """What is tried above, so that it cannot come to nothing unnoticed."""
    if not COUNTS:
        pytest.skip("nothing has run before")
    for what in ("fit, done", "partial_fit, done", "predict, done", "fit, refused"):
        assert COUNTS[what, ""] >= 20


@pytest.mark.parametrize("layout", fuzzing.LAYOUTS)
@pytest.mark.parametrize("dtype", ["?", "u1", "i4", "f4", "f8"])
def test_containers_hold_the_numbers_they_are_given(layout, dtype):
    X = np.random.default_rng(0).integers(0, 2, (7, 5)).astype(float)
    held = fuzzing.held(X, (dtype, layout))
    if hasattr(held, "toarray"):
        held = held.toarray()
    np.testing.assert_array_equal(np.asarray(held, float), X)


@pytest.mark.parametrize("kind", [HardL0MLPClassifier, HardL0MLPRegressor])
def test_an_error_that_names_nothing_is_seen(kind, monkeypatch):
    def fail(*_, **__):
        raise ValueError("something went wrong")

    monkeypatch.setattr(kind, "fit", fail)
    case = fuzzing.Case(
        kind, {}, np.zeros((3, 1)), np.arange(3), None, [("fit", ("f8", "C"), False, False)]
    )
    with pytest.raises(fuzzing.FuzzError, match="names nothing"):
        fuzzing.live(case)
