"""Reading a state from a stranger: every entry is checked for its kind and its bounds."""

import numpy as np
import pytest

from fastl0.checkpoint.state_reader import StateError, StateReader

STATE = {
    "n": 3,
    "rate": 0.5,
    "flag": True,
    "name": "adam",
    "none": None,
    "inner": {"n": 4},
    "list": [{"n": 5}, {"n": 6}],
    "a": np.array([[1.0, -2.0]], np.float32),
    "holes": np.array([1.0, np.nan]),
    "columns": np.arange(4, dtype=np.int32),
    "empty": np.zeros(0, np.int32),
    "marks": np.array([True, False]),
}


def test_entries_within_bounds_are_returned():
    fields = StateReader(STATE)
    assert fields.integer("n", 3, 3) == 3
    assert fields.number("rate", 0.0, 1.0) == 0.5
    assert fields.flag("flag") is True
    assert fields.text("name") == "adam"
    assert fields.is_none("none")
    assert not fields.is_none("n")
    assert not fields.is_none("missing")
    assert fields.nested("inner").integer("n", 0, 9) == 4
    assert [item.integer("n", 0, 9) for item in fields.items("list", 2)] == [5, 6]
    assert fields.array("a", np.float32, (1, None), -2.0, 1.0) is STATE["a"]
    assert fields.array("holes", float, (2,), 0.0, may_be_nan=True) is STATE["holes"]
    assert fields.array("columns", np.int32, (4,), 0, 3) is STATE["columns"]
    assert fields.array("empty", np.int32, (None,), 5, 6).size == 0
    assert fields.array("marks", bool, (2,)) is STATE["marks"]
    fields.end()


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (lambda f: f.integer("missing", 0, 9), "`top.missing` is missing"),
        (lambda f: f.integer("n", 4, 9), r"`top.n` must be an int in \[4, 9\], got 3"),
        (lambda f: f.integer("n", 0, 2), "must be an int"),
        (lambda f: f.integer("rate", 0, 9), "must be an int"),
        (lambda f: f.integer("flag", 0, 9), "must be an int"),
        (lambda f: f.number("n"), r"`top.n` must be a float in \[-inf, inf\], got 3"),
        (lambda f: f.number("rate", 0.6), "must be a float"),
        (lambda f: f.number("flag"), "must be a float"),
        (lambda f: f.flag("n"), "must be true or false"),
        (lambda f: f.text("n"), "must be a str"),
        (lambda f: f.nested("n"), "`top.n` must be a dict, got 3"),
        (lambda f: f.nested("inner").integer("n", 0, 1), "`top.inner.n` must be"),
        (lambda f: f.items("n", 9), "must be a list"),
        (lambda f: f.items("list", 1), "a list of up to 1"),
        (lambda f: f.items("list", 2)[1].integer("n", 0, 1), r"`top.list\[1\].n` must be"),
        (lambda f: f.array("n", int, (1,)), "must be 1-dimensional of dtype int64, got 3"),
        (lambda f: f.array("a", np.float64, (1, 2)), "dtype float64, got shape .* of float32"),
        (lambda f: f.array("a", np.float32, (2,)), "must be 1-dimensional"),
        (lambda f: f.array("a", np.float32, (None, 3)), r"of shape \('any', 3\)"),
        (lambda f: f.array("a", np.float32, (1, 2), -1.0), r"within \[-1, inf\], got .*-2.0"),
        (lambda f: f.array("a", np.float32, (1, 2), high=0.5), "must be within"),
        (lambda f: f.array("holes", float, (2,)), r"must be within \[-inf, inf\], got .*nan"),
        (lambda f: f.array("holes", float, (2,), 2.0, may_be_nan=True), "must be within"),
        (lambda f: f.array("empty", np.int32, (1,)), r"got shape \(0,\) of int32"),
    ],
)
def test_anything_else_is_refused(read, message):
    with pytest.raises(StateError, match=message):
        read(StateReader(STATE, "top"))


def test_a_float_that_is_no_number_is_within_no_bounds():
    with pytest.raises(StateError):
        StateReader({"a": np.nan}).number("a")
    assert StateReader({"a": np.inf}).number("a") == np.inf


@pytest.mark.parametrize("state", [None, 3, [1], "text", np.zeros(3)])
def test_a_state_is_a_dict(state):
    with pytest.raises(StateError, match="`state` must be a dict"):
        StateReader(state)


def test_what_nobody_read_is_refused():
    fields = StateReader({"a": 1, "b": 2, "c": None}, "top")
    fields.integer("a", 0, 9)
    with pytest.raises(StateError, match=r"there is no such thing as `top.b, top.c`"):
        fields.end()
    assert fields.is_none("c")
    fields.integer("b", 0, 9)
    fields.end()


def test_a_long_value_is_not_shown_in_full():
    with pytest.raises(StateError) as caught:
        StateReader({"a": "x" * 1000}).flag("a")
    assert len(str(caught.value)) < 100
