"""Which rows train, and which are set aside to validate."""

import numpy as np
import pytest

from fastl0.data.split import validation_split


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_every_row_is_on_one_side(share):
    train, judge = validation_split(40, share, 0, None, "")
    assert sorted([*train, *judge]) == list(range(40))
    assert len(judge) == round(40 * share)
    for part in (train, judge):
        assert part.dtype == np.int32
        assert part.flags.c_contiguous


def test_classes_have_the_same_shares_on_both_sides():
    strata = np.repeat([0, 1, 2], [60, 30, 10])
    for part in validation_split(100, 0.3, 0, strata, ""):
        assert (np.bincount(strata[part]) / len(part)).tolist() == [0.6, 0.3, 0.1]


@pytest.mark.parametrize(("strata", "what"), [(None, "some"), (np.arange(3), "every class")])
def test_too_few_rows_to_set_aside_say_what_is_missing(strata, what):
    with pytest.raises(ValueError, match=f"with {what} on both sides .*, do else"):
        validation_split(1 if strata is None else 3, 0.1, 0, strata, "do else")


def test_the_seed_decides():
    one, same, other = (validation_split(50, 0.2, seed, None, "")[1] for seed in (0, 0, 1))
    assert one.tolist() == same.tolist() != other.tolist()


@pytest.mark.parametrize(
    ("n_rows", "share", "strata"),
    [(1, 0.1, None), (3, 0.5, np.array([0, 1, 1])), (8, 0.1, np.repeat([0, 1], 4))],
)
def test_too_few_rows_are_an_error_with_its_remedy(n_rows, share, strata):
    message = rf"`validation_fraction`={share} cannot set aside.*{n_rows} rows.*, do other things"
    with pytest.raises(ValueError, match=message):
        validation_split(n_rows, share, 0, strata, "do other things")
