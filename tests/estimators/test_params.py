"""The front door on its own: which parameters and arguments are taken, and which refused."""

import re
from decimal import Decimal
from fractions import Fraction
from numbers import Real

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.utils._param_validation import Interval

from fastl0.estimators import byte_sizes, params


@pytest.mark.parametrize(
    ("sizes", "expected"), [(5, [5]), ((5, 3), [5, 3]), (np.array([4, 2]), [4, 2]), ([], [])]
)
def test_hidden_widths(sizes, expected):
    assert params.hidden_widths(sizes) == expected


@pytest.mark.parametrize("sizes", [0, -1, (3, 0), (2.0,), (True,), "ab", None])
def test_bad_hidden_widths_are_refused(sizes):
    with pytest.raises(ValueError, match="`hidden_layer_sizes` must hold ints >= 1"):
        params.hidden_widths(sizes)


def test_droprates():
    assert params.check_droprates(0.3) == (0.3, 0.3)
    assert params.check_droprates([0.1, 0.6]) == (0.1, 0.6)
    found = params.check_droprates((Fraction(1, 4), np.float16(0.5)))
    assert found == (0.25, 0.5)
    assert {type(rate) for rate in found} == {float}
    for bad in (0, 1, (0.5,), (0.5, 2), "ab", None, np.nan, Decimal("0.5"), Fraction(10**400)):
        with pytest.raises(ValueError, match="`droprate_init` must be a number in"):
            params.check_droprates(bad)


def test_batch_sizes():
    assert params.resolve_batch_size("auto", 50, False) == 50
    assert params.resolve_batch_size("auto", 5000, False) == 200
    assert params.resolve_batch_size("dynamic", 50, False) == 50
    assert params.resolve_batch_size("dynamic", 5000, False) == 200
    assert params.resolve_batch_size(np.int64(7), 7, True) == 7
    for kind in ("auto", "dynamic"):
        # With gates an epoch shall have 50 mini-batches, and a mini-batch 8 rows at least.
        found = [params.resolve_batch_size(kind, n, True) for n in (3, 50, 400, 600, 5000, 10**6)]
        assert found == [3, 8, 8, 12, 100, 200]
    assert params.resolve_batch_size(8, 7, True) == 7
    assert params.resolve_batch_size(10**30, 7, False) == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [("lam", 1e39), ("alpha", 10**400), ("beta_1", 1 - 1e-9), ("epsilon", 1e-50)],
)
def test_settings_that_float32_cannot_hold_are_refused(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        params.check_float32(name, value)


def test_settings_that_float32_can_hold_pass():
    for name, value in (("lam", 1e30), ("tol", np.inf), ("beta_2", 0.9999), ("epsilon", 1e-30)):
        params.check_float32(name, value)


@pytest.mark.parametrize(
    ("value", "is_within"),
    [
        (0.5, True),
        (0, True),
        (1, False),
        (Fraction(1, 3), True),
        (Fraction(-1, 10**400), True),  # the float nearest to it is 0
        (Fraction(4, 3), False),
        (-(10**400), False),
        (Fraction(10**400), False),
        (np.float16(0.25), True),
        (np.longdouble(0.25), True),
        (np.nan, False),
        (np.float32(np.nan), False),
        (Decimal("0.5"), False),
        ("0.5", False),
        (None, False),
    ],
)
def test_reals_of_any_type_lie_in_an_interval(value, is_within):
    interval = params.RealInterval(0, 1, closed="left")
    assert interval.is_satisfied_by(value) is is_within
    assert str(interval) == str(Interval(Real, 0, 1, closed="left"))


def test_shares_of_rows():
    for share in (0.5, Fraction(1, 3), np.float32(0.1)):
        params.check_share("validation_fraction", share)
    for bad in (0, 1, True, Fraction(10**400), Decimal("0.5"), np.nan, None, "0.5"):
        with pytest.raises(ValueError, match="`validation_fraction` must be a share of the rows"):
            params.check_share("validation_fraction", bad)


# --- sizes and prices ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1500, 1500),
        (np.int64(7), 7),
        ("1500", 1500),
        ("12 B", 12),
        ("2kB", 2000),
        ("2 KB", 2000),
        ("64KiB", 65_536),
        ("64kiB", 65_536),
        (" 0.5 MB ", 500_000),
        ("1.5MiB", 1_572_864),
        ("1GB", 10**9),
        ("1GiB", 2**30),
    ],
)
def test_numbers_of_bytes(value, expected):
    found = byte_sizes.parse_bytes("memory_budget", value)
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        True,
        1.5,
        "",
        "0",
        "0.5",
        "-3",
        "1e3",
        "MB",
        "1 TB",
        "1 mb",
        "3 4",
        "9" * 400,
        None,
        (1,),
        np.nan,
    ],
)
@pytest.mark.parametrize("name", ["memory_budget", "target_size"])
def test_bad_numbers_of_bytes_are_refused(name, value):
    message = (
        rf"`{name}` must be a positive number of bytes with a unit out of B, kB.* and GiB, "
        rf'got {re.escape(repr(value))}\. Write for instance "64KiB"'
    )
    with pytest.raises(ValueError, match=message):
        byte_sizes.parse_bytes(name, value)


@pytest.mark.parametrize(
    ("lam", "target_size", "pruning", "expected"),
    [
        (None, None, "hard", (0.0, 0.3)),
        (None, "9kB", "hard", (0.0, "9kB")),
        (None, 500, "hard", (0.0, 500)),
        (None, 0.7, "hard", (0.0, 0.7)),
        (0.5, None, "hard", (0.5, None)),
        (0, None, "hard", (0.0, None)),
        (None, None, "soft", (0.1, None)),
        (np.float32(0.5), None, "soft", (0.5, None)),
        (None, None, "none", (0.0, None)),
        (0.5, None, "none", (0.0, None)),
    ],
)
def test_either_a_price_or_a_size_is_set(lam, target_size, pruning, expected):
    found = params.resolve_strength(lam, target_size, pruning, 0.3)
    assert found == expected
    assert type(found[0]) is float


@pytest.mark.parametrize("pruning", ["hard", "soft", "none"])
def test_a_price_and_a_size_are_not_both_taken(pruning):
    message = (
        r"`lam` and `target_size` must not both be given.*got lam=0\.1 and target_size='9kB'\. "
        "Leave one of them at None"
    )
    with pytest.raises(ValueError, match=message):
        params.resolve_strength(0.1, "9kB", pruning, 0.3)


@pytest.mark.parametrize("pruning", ["soft", "none"])
def test_a_size_needs_deletions(pruning):
    message = (
        rf'`target_size` must be None unless pruning="hard", got 0\.5 with pruning="{pruning}".*'
        'Set pruning="hard"'
    )
    with pytest.raises(ValueError, match=message):
        params.resolve_strength(None, 0.5, pruning, 0.3)


FULL, SMALLEST = 1000, 57


@pytest.mark.parametrize(
    ("target_size", "expected"),
    [
        (57, 57),
        (1000, 1000),
        (np.int32(300), 300),
        (0.3, 300),
        (np.float32(0.5), 500),
        (Fraction(3, 8), 375),
        (1.0, 1000),
        ("228", 57),
        ("4000 B", 1000),
        ("3999", 999),
        ("2 kB", 500),
    ],
)
def test_sizes_to_reach(target_size, expected):
    found = params.resolve_target_size(target_size, FULL, SMALLEST)
    assert found == expected
    assert type(found) is int


@pytest.mark.parametrize(
    ("target_size", "message"),
    [
        (56, "at least one unit in each layer, got 56. Give 57 to 1000 parameters, or"),
        (0, "at least one unit in each layer, got 0. Give 57 to 1000 parameters, or"),
        (-5, "at least one unit in each layer, got -5. Give 57 to 1000 parameters, or"),
        (1001, "no larger than it is, got 1001. Give 57 to 1000 parameters, or"),
        (0.05, "at least one unit in each layer, got 0.05. Give 0.057001 to 1, or"),
        ("227", "at least one unit in each layer, got '227'. Give 228 to 4000 bytes, or"),
        ("1MB", "no larger than it is, got '1MB'. Give 228 to 4000 bytes, or"),
    ],
)
def test_sizes_out_of_reach_are_refused(target_size, message):
    message = f"`target_size` must leave the network {message} change hidden_layer_sizes."
    if not isinstance(target_size, float):
        message += " In a search over several widths give shares, as 0.1."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        params.resolve_target_size(target_size, FULL, SMALLEST)


@pytest.mark.parametrize(
    "target_size", [0.0, -0.1, 1.5, np.nan, np.inf, np.float32(2), Fraction(10**400)]
)
def test_shares_out_of_bounds_are_refused(target_size):
    message = (
        r"`target_size` as a float must be a share of the 1000 parameters in \(0, 1\], got "
        rf"{re.escape(repr(target_size))}\. Give an int"
    )
    with pytest.raises(ValueError, match=message):
        params.resolve_target_size(target_size, FULL, SMALLEST)


@pytest.mark.parametrize("target_size", [True, None, (100,), 1j, Decimal("0.5")])
def test_sizes_of_other_kinds_are_refused(target_size):
    message = (
        r"`target_size` must be an int \(parameters\), a float in \(0, 1\] \(share of them\) or a "
        rf"str \(bytes.*, got {re.escape(repr(target_size))}\."
    )
    with pytest.raises(ValueError, match=message):
        params.resolve_target_size(target_size, FULL, SMALLEST)


def test_bytes_that_are_none_name_the_parameter():
    with pytest.raises(ValueError, match="`target_size` must be a positive number of bytes"):
        params.resolve_target_size("ten", FULL, SMALLEST)


@given(st.integers(1, 10**7), st.integers(1, 10**7))
@example(11_000, 10**5)
def test_the_bounds_that_an_error_names_are_taken(smallest, more):
    full = smallest + more

    def bounds_of(target_size):
        with pytest.raises(ValueError, match="`target_size` must") as error:
            params.resolve_target_size(target_size, full, smallest)
        return re.search(r"Give (\S+) to ([\d.]+)", str(error.value)).groups()

    for wrong, kind in ((0, int), (1e-12, float), ("1 B", str), ("900 GB", str), (full + 1, int)):
        for bound in bounds_of(wrong):
            found = params.resolve_target_size(kind(bound), full, smallest)
            assert smallest <= found <= full


def test_a_budget_that_is_too_small_names_what_is_needed():
    message = (
        r"`memory_budget` must hold the training buffers, 1234 bytes at least for this network "
        r".*, got '1kB'\. Give as much, or fewer units in hidden_layer_sizes"
    )
    assert re.search(message, str(params.budget_too_small("1kB", 1234)))


def test_arguments_that_belong_together():
    params.check_together(X_val=1, y_val=2)
    params.check_together(X_val=None, y_val=None)
    with pytest.raises(ValueError, match=r"`X_val` and `y_val` must be given.*`X_val` only"):
        params.check_together(X_val=1, y_val=None)


def test_mini_batches_of_a_stream():
    assert params.resolve_stream_batch_size(7, 1, True) == 7
    for kind in ("auto", "dynamic"):
        assert params.resolve_stream_batch_size(kind, 1, True) == 8
        assert params.resolve_stream_batch_size(kind, 5000, True) == 100
        assert params.resolve_stream_batch_size(kind, 10**6, True) == 200
        assert params.resolve_stream_batch_size(kind, 1, False) == 200


# --- validation rows and scores ----------------------------------------------------------


def test_validation_rows_are_given_whole_or_not_at_all():
    rows, labels, weights = np.zeros((2, 3)), np.zeros(2), np.ones(2)
    params.check_validation_arguments(None, None, None)
    params.check_validation_arguments(rows, labels, None)
    params.check_validation_arguments(rows, labels, weights)
    with pytest.raises(ValueError, match="`X_val` and `y_val` must be given together"):
        params.check_validation_arguments(rows, None, weights)
    with pytest.raises(ValueError, match="`X_val` and `y_val` must be given together"):
        params.check_validation_arguments(None, labels, None)
    with pytest.raises(ValueError, match=r"`sample_weight_val` must .* got no `X_val`"):
        params.check_validation_arguments(None, None, weights)


@pytest.mark.parametrize("value", [1, 0.5, -np.inf, np.float32(2.0), np.int8(3), True])
def test_scores_are_numbers(value):
    found = params.check_score(value, "accuracy")
    assert type(found) is float
    assert found == value


@pytest.mark.parametrize("value", [None, "1.0", [1.0], np.ones(1), {"a": 1.0}, 1j])
def test_what_is_no_number_is_no_score(value):
    message = f"`scoring` must give one number.*{re.escape(repr(value))} from 'mine'"
    with pytest.raises(ValueError, match=message):
        params.check_score(value, "mine")
