"""Random estimators, rows and calls, and what has to hold after each of them.

Shared by `test_fuzz.py`, which tries a few, and `benches/reliability/fuzz.py`, which tries
thousands. A case is lived through twice: by a model that gets its rows in all sorts of
containers, and by a twin that gets the same numbers as plain arrays. They have to agree in
everything, errors included.
"""

import contextlib
import copy
import io
import pickle
import re
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from hypothesis import strategies as st

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.training import criteria, online

MOST_ROWS, MOST_COLUMNS = 40, 9

# --- containers --------------------------------------------------------------------------


def _strided(X):
    wide = np.zeros((2 * X.shape[0], 3 * X.shape[1]), X.dtype)
    wide[::2, ::3] = X
    return wide[::2, ::3]


def _read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def _misaligned(X):
    raw = np.zeros(X.nbytes + 1, np.uint8)
    odd = raw[1:].view(X.dtype) if X.dtype.itemsize == 1 else np.frombuffer(
        raw.data, X.dtype, X.size, offset=1
    )  # fmt: skip
    odd = odd.reshape(X.shape)
    odd[...] = X
    return odd


def _in_parts(X):
    """A CSR matrix with two stored entries for each, whose sum it is; some of them are zeros.

    Halves, where there are any: other sums round differently once a gate has scaled them.
    """
    first = X / 2 if X.dtype.kind == "f" else X
    n, m = X.shape
    data = np.stack([first, X - first if X.dtype.kind != "b" else X & False], axis=2).reshape(-1)
    indices = np.tile(np.repeat(np.arange(m), 2), n)
    return sp.csr_array((data, indices, np.arange(0, 2 * n * m + 1, 2 * m)), shape=(n, m))


def _unsorted(X):
    """A CSR matrix whose rows hold their columns from the last to the first."""
    n, m = X.shape
    indices = np.tile(np.arange(m)[::-1], n)
    return sp.csr_array((X[:, ::-1].reshape(-1), indices, np.arange(0, n * m + 1, m)), shape=(n, m))


def _wide_index(X):
    X = sp.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


LAYOUTS = {
    "C": np.ascontiguousarray,
    "Fortran": np.asfortranarray,
    "transposed": lambda X: X.T.copy().T,
    "strided": _strided,
    "rows backwards": lambda X: X[::-1].copy()[::-1],
    "columns backwards": lambda X: X[:, ::-1].copy()[:, ::-1],
    "read-only": _read_only,
    "misaligned": _misaligned,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "objects": lambda X: X.astype(object),
    "list": lambda X: X.tolist(),
    "DataFrame": pd.DataFrame,
    "CSR": sp.csr_array,
    "CSR matrix": sp.csr_matrix,
    "CSR unsorted": _unsorted,
    "CSR in parts": _in_parts,
    "CSR int64": _wide_index,
    "CSC": sp.csc_array,
    "COO": sp.coo_array,
    "LIL": sp.lil_array,
    "BSR": lambda X: sp.bsr_array(sp.csr_array(X)),
    "DIA": sp.dia_array,
}
#: Numbers that all dtypes of a row can hold exactly; no others of SciPy's can be sparse.
RANGES = {
    "bool": (["?", "u1", "i8", "f4", "f8"], lambda v: v % 2),
    "unsigned": (["u1", "u2", "u4", "u8", "i1", "i4", "f2", "f4", "f8"], np.abs),
    "signed": (["i1", "i2", "i4", "i8", "f2", "f4", "f8", "g"], lambda v: v),
    "quarters": (["f2", "f4", "f8", "g"], lambda v: v / 4),
    "large": (["i2", "i4", "i8", "f4", "f8"], lambda v: 4096 * v),
}
NOT_SPARSE = {"f2", "g"}


def held(X, form):
    """X in the dtype and container of a form."""
    dtype, layout = form
    return LAYOUTS[layout](X.astype(dtype))


@st.composite
def forms(draw, dtypes):
    layout = draw(st.sampled_from(list(LAYOUTS)))
    if sp.issparse(LAYOUTS[layout](np.zeros((1, 1)))):
        dtypes = [dtype for dtype in dtypes if dtype not in NOT_SPARSE]
    return draw(st.sampled_from(dtypes)), layout


# --- parameters --------------------------------------------------------------------------

_SHARED = {
    "hidden_layer_sizes": st.one_of(
        st.integers(1, 7), st.lists(st.integers(1, 7), max_size=3).map(tuple)
    ),
    "activation": st.sampled_from(["identity", "logistic", "tanh", "relu"]),
    "solver": st.sampled_from(["sgd", "adam"]),
    "alpha": st.sampled_from([0.0, 1e-4, 0.1, 3]),
    "batch_size": st.one_of(st.sampled_from(["auto", "dynamic"]), st.integers(1, 12)),
    "learning_rate": st.sampled_from(["constant", "invscaling", "adaptive", "cosine"]),
    "learning_rate_init": st.sampled_from([1e-5, 1e-3, 0.01, 0.1]),
    "power_t": st.sampled_from([0.0, 0.5, 2]),
    "max_iter": st.integers(1, 6),
    "shuffle": st.booleans(),
    "random_state": st.integers(0, 5),
    "tol": st.sampled_from([0.0, 1e-4, 0.5, 1e30]),
    "momentum": st.sampled_from([0.0, 0.9, 1.0]),
    "nesterovs_momentum": st.booleans(),
    "early_stopping": st.booleans(),
    "validation_fraction": st.sampled_from([0.1, 0.3, 0.9]),
    "beta_1": st.sampled_from([0.0, 0.9, 0.999999]),
    "beta_2": st.sampled_from([0.0, 0.999]),
    "epsilon": st.sampled_from([1e-30, 1e-8, 1.0]),
    "n_iter_no_change": st.sampled_from([1, 2, 10, np.inf]),
    "penalty": st.sampled_from(["size", "fan_out"]),
    "input_price": st.sampled_from([0.0, 1.0, 3.0, 100.0]),
    "finetune_fraction": st.sampled_from([0.0, 0.3, 0.99]),
    "gate_inputs": st.booleans(),
    "prune_threshold": st.sampled_from([0.1, 0.5, 0.9]),
    "gate_learning_rate": st.sampled_from(["constant", "cosine"]),
    "gate_learning_rate_init": st.sampled_from([1e-3, 0.01, 0.3, 2.0]),
    "droprate_init": st.sampled_from([0.5, (0.2, 0.5), [0.9, 0.01], np.array([0.5, 0.99])]),
}
#: How small the network becomes.
_SIZES = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"target_size": st.sampled_from([0.3, 0.5, 0.8, 1.0])}),
    st.fixed_dictionaries({"target_size": st.integers(10, 90)}),
    st.fixed_dictionaries({"target_size": st.sampled_from(["1500B", "2kB", "2.5 KiB", "4kB"])}),
    st.fixed_dictionaries({"lam": st.sampled_from([0.0, 0.01, 1.0, 100.0, 1e30])}),
    st.sampled_from([{"pruning": "soft"}, {"pruning": "soft", "lam": 10.0}, {"pruning": "none"}]),
)
_BUDGETS = st.sampled_from([*(None,) * 9, "6kB", 20_000, "1MiB"])
_OWN = {
    HardL0MLPClassifier: {
        "class_weight": st.sampled_from([None, "balanced", {0: 2.0}, {0: 0.0, 1: 3.0}]),
        "label_smoothing": st.sampled_from([0.0, 0.1, 0.99]),
        "scoring": st.sampled_from([None, None, "balanced_accuracy", "neg_log_loss"]),
    },
    HardL0MLPRegressor: {
        "loss": st.sampled_from(
            ["squared_error", "absolute_error", "huber", "quantile", "poisson"]
        ),
        "quantile": st.sampled_from([0.01, 0.5, 0.9]),
        "delta": st.sampled_from([1e-3, 1.35, 1e6]),
        "normalize_y": st.booleans(),
        "scoring": st.sampled_from([None, None, "neg_mean_absolute_error", "r2"]),
    },
}
#: Settings with which any rows can be fitted.
_POSSIBLE = {
    "batch_size": "auto",
    "class_weight": None,
    "early_stopping": False,
    "loss": "squared_error",
    "memory_budget": None,
    "target_size": None,
}
#: Values that break a rule, whatever the others are.
_BAD = [
    ("hidden_layer_sizes", (3, 0)), ("hidden_layer_sizes", "ten"), ("hidden_layer_sizes", -1),
    ("hidden_layer_sizes", [2.5]), ("hidden_layer_sizes", None), ("activation", "swish"),
    ("solver", "lbfgs"), ("alpha", -1.0), ("alpha", 1e39), ("alpha", np.nan), ("batch_size", 0),
    ("batch_size", "all"), ("batch_size", 2.5), ("learning_rate", None),
    ("learning_rate_init", 0.0), ("learning_rate_init", 1e60), ("learning_rate_init", np.inf),
    ("power_t", -1), ("max_iter", 0), ("max_iter", 2.5), ("max_iter", np.inf), ("shuffle", "yes"),
    ("random_state", "seed"), ("random_state", -1), ("tol", -1.0), ("tol", "small"),
    ("tol", np.inf), ("momentum", 1.5), ("early_stopping", 3.5), ("validation_fraction", 0.0),
    ("validation_fraction", 1.0), ("scoring", 5), ("beta_1", 1.0),
    ("beta_2", 1 - 1e-12), ("epsilon", 0.0), ("epsilon", 1e-60), ("n_iter_no_change", 0),
    ("n_iter_no_change", 1.5), ("lam", -1.0), ("lam", np.inf), ("lam", "much"), ("lam", 1e39),
    ("target_size", 0.0), ("target_size", -5), ("target_size", 10**9), ("target_size", "small"),
    ("target_size", 1.5), ("target_size", np.nan), ("target_size", True), ("memory_budget", 0),
    ("memory_budget", "1 XB"), ("memory_budget", 10), ("memory_budget", 1.5), ("penalty", "l1"),
    ("input_price", -1), ("input_price", np.inf), ("finetune_fraction", 1.0),
    ("pruning", "magnitude"), ("gate_inputs", "all"), ("prune_threshold", 2.0),
    ("gate_learning_rate", "adaptive"), ("gate_learning_rate_init", 0.0),
    ("gate_learning_rate_init", 1e39), ("droprate_init", 0.0), ("droprate_init", (0.5, 1.0)),
    ("droprate_init", (0.5, 0.5, 0.5)), ("droprate_init", "half"), ("droprate_init", np.nan),
    ("verbose", "loud"), ("warm_start", "yes"),
]  # fmt: skip
_BAD_OWN = {
    HardL0MLPClassifier: [
        ("class_weight", "even"), ("class_weight", {0: -1.0, 1: 1.0}), ("class_weight", [3.0]),
        ("class_weight", {0: np.nan, 1: 1.0}), ("class_weight", 3.0), ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
    ],
    HardL0MLPRegressor: [
        ("loss", "l2"), ("quantile", 0.0), ("delta", 0.0), ("normalize_y", "yes"),
    ],
}  # fmt: skip


@st.composite
def settings_of(draw, kind):
    """A few parameters that differ from their defaults, quick ones in any case."""
    changed = draw(st.sets(st.sampled_from([*_SHARED, *_OWN[kind]]), max_size=8))
    settings = {name: draw((_SHARED | _OWN[kind])[name]) for name in sorted(changed)}
    settings |= draw(_SIZES)
    budget = draw(_BUDGETS)
    if budget is not None:
        settings["memory_budget"] = budget
    for name in ("hidden_layer_sizes", "max_iter", "random_state"):
        settings.setdefault(name, draw(_SHARED[name]))
    settings["warm_start"] = draw(st.sampled_from([False, False, True]))
    return settings


# --- cases -------------------------------------------------------------------------------


@dataclass
class Case:
    """One life of an estimator."""

    kind: type
    settings: dict[str, Any]
    X: np.ndarray
    y: np.ndarray
    classes: np.ndarray | None
    steps: list[tuple[Any, ...]]
    fewest_draws: int = field(default=criteria.MIN_DRAWS)


def _generator(draw):
    # A seed is drawn faster than an array.
    return np.random.default_rng(draw(st.integers(0, 2**20)))


@st.composite
def _rows(draw, n_rows, n_columns):
    """Whole numbers from -7 to 7; maybe mostly zeros, and some columns constant."""
    rng = _generator(draw)
    X = rng.integers(-7, 8, (n_rows, n_columns))
    X[rng.random(X.shape) < draw(st.sampled_from([0.0, 0.0, 0.8, 1.0]))] = 0
    if draw(st.booleans()):
        X[:, rng.random(n_columns) < 0.4] = rng.integers(-7, 8)
    return X


@st.composite
def _labels(draw, n_rows):
    """Labels of rows, of two classes or more or of one only, and all classes there are."""
    kinds = ["binary", "few", "words", "flags", "floats", "several", "gaps", "one"]
    target = draw(st.sampled_from(kinds))
    rng = _generator(draw)
    if target == "several":
        return rng.integers(0, 2, (n_rows, draw(st.integers(2, 4)))), None
    if target == "one":
        label = draw(st.sampled_from([0, 7, "a", True, 2.0]))
        return np.full(n_rows, label), np.array([label])
    n_classes = 2 if target in ("binary", "flags") else draw(st.integers(2, 5))
    codes = rng.integers(0, n_classes, n_rows)
    codes[: min(n_rows, 2)] = np.arange(min(n_rows, 2))
    names = {
        "words": np.array(["a", "bb", "ccc", "d", "e"]),
        "flags": np.array([False, True]),
        "floats": np.arange(5.0),
        "gaps": np.array([-7, 0, 1, 5, 900]),
    }.get(target, np.arange(5))
    return names[codes], names[:n_classes]


@st.composite
def _numbers(draw, n_rows):
    """Targets of any unit; of counts too, so that "poisson" has something to learn."""
    shape = draw(st.sampled_from([(n_rows,), (n_rows,), (n_rows, 1), (n_rows, 3)]))
    y = _generator(draw).integers(-9, 10, shape).astype(float)
    if draw(st.booleans()):
        y = np.abs(y)
    factor = draw(st.sampled_from([1.0, 1.0, 1.0, 0.0, 1e-20, 1e6, 1e25]))
    return factor * y + draw(st.sampled_from([0.0, 0.0, 1e3])) * factor


@st.composite
def cases(draw):
    kind = draw(st.sampled_from([HardL0MLPClassifier, HardL0MLPRegressor]))
    n_rows = draw(st.integers(1, MOST_ROWS))
    n_columns = draw(st.integers(1, MOST_COLUMNS))
    dtypes, as_range = RANGES[draw(st.sampled_from(list(RANGES)))]
    if kind is HardL0MLPClassifier:
        y, classes = draw(_labels(n_rows))
    else:
        y, classes = draw(_numbers(n_rows)), None
    learns = steps(kind, n_rows, dtypes, ["fit", "partial_fit"])
    anything = steps(kind, n_rows, dtypes)
    return Case(
        kind,
        draw(settings_of(kind)),
        np.asarray(as_range(draw(_rows(n_rows, n_columns))), np.float64),
        y,
        classes,
        [
            *draw(st.lists(learns, min_size=1, max_size=1) | st.just([])),
            *draw(st.lists(anything, min_size=1, max_size=5)),
        ],
        draw(st.sampled_from([criteria.MIN_DRAWS, 3])),
    )


_ACTIONS = [
    "fit", "partial_fit", "partial_fit", "predict", "predict", "score", "transform", "extremes",
    "store", "change", "bad parameter", "bad rows",
]  # fmt: skip


@st.composite
def steps(draw, kind, n_rows, dtypes, actions=_ACTIONS):
    """A call of a method; rows of it are ``(start, stop)`` of those of the case."""
    form = draw(forms(dtypes))
    start = draw(st.integers(0, n_rows - 1))
    stop = draw(st.integers(start + 1, n_rows))
    action = draw(st.sampled_from(actions))
    if action == "fit":
        return "fit", form, draw(st.booleans()), draw(st.sampled_from([False, False, True]))
    if action == "partial_fit":
        again = draw(st.integers(1, 4))
        judged = draw(st.sampled_from([False, False, True]))
        return "partial_fit", form, (start, stop), again, draw(st.booleans()), judged
    if action in ("predict", "score", "transform"):
        return action, form, (start, stop)
    if action == "extremes":
        value = draw(st.sampled_from([1e-45, 1e10, 1e30, np.finfo(np.float32).max]))
        return action, value, draw(st.sampled_from(["f4", "f8"]))
    if action == "store":
        return "store", draw(st.sampled_from([2, 4, 5]))
    if action == "change":
        name = draw(st.sampled_from([*_SHARED, *_OWN[kind]]))
        return "change", {name: draw((_SHARED | _OWN[kind])[name])}
    method = draw(st.sampled_from(["fit", "partial_fit"]))
    if action == "bad parameter":
        return action, method, draw(st.sampled_from(_BAD + _BAD_OWN[kind]))
    return action, draw(st.sampled_from([method, "predict"])), draw(st.sampled_from(list(SPOILT)))


# --- rows that must be refused -----------------------------------------------------------


def _with(X, value):
    X = X.copy()
    X[-1, -1] = value
    return X


#: What is wrong with X, and with y where it goes along; both as they should be in.
SPOILT = {
    "NaN": lambda X, y: (_with(X, np.nan), y),
    "infinity": lambda X, y: (_with(X, -np.inf), y),
    "too large": lambda X, y: (_with(X, 1e39), y),
    "sparse NaN": lambda X, y: (sp.csr_array(_with(X, np.nan)), y),
    "sparse too large": lambda X, y: (sp.csc_array(_with(X, 1e300)), y),
    "one dimension": lambda X, y: (X[0], y),
    "three dimensions": lambda X, y: (X[None], y),
    "no dimension": lambda X, y: (3.0, y),
    "no rows": lambda X, y: (X[:0], y[:0]),
    "no columns": lambda X, y: (X[:, :0], y),
    "a column more": lambda X, y: (np.hstack([X, X[:, :1]]), y),
    "text": lambda X, y: (np.full(X.shape, "a"), y),
    "bytes": lambda X, y: (np.full(X.shape, b"a"), y),
    "complex": lambda X, y: (X + 1j, y),
    "dates": lambda X, y: (np.full(X.shape, np.datetime64("2020-01-01")), y),
    "ragged": lambda X, y: ([[1.0], [1.0, 2.0]], y[:2]),
    "None": lambda X, y: (None, y),
    "words": lambda X, y: (X.astype(object) * np.nan, y),
    "a dict": lambda X, y: ({"a": 1}, y),
    "fewer targets": lambda X, y: (X, y[:-1]),
    "targets of NaN": lambda X, y: (X, np.full(len(y), np.nan)),
    "targets of infinity": lambda X, y: (X, np.full(len(y), np.inf)),
    "complex targets": lambda X, y: (X, np.ones(len(y)) + 1j),
    "no targets": lambda X, y: (X, None),
    "targets of dicts": lambda X, y: (X, np.array([{}] * len(y))),
    "targets of three dimensions": lambda X, y: (X, np.zeros((len(y), 2, 2))),
    "sparse numbers": lambda X, y: (X, sp.csr_array(np.full((len(y), 2), 1.5))),
}
#: Of these a fitted estimator knows, one that is not would take them.
_NEEDS_FIT = {"a column more"}
#: These concern y, which predict has not.
_OF_TARGETS = [name for name in SPOILT if "targets" in name or name == "sparse numbers"]

#: How scikit-learn's own errors say that it is about X or y.
_NAMED = re.compile(
    r"Complex data|`|\bX\b|\by\b|parameter|sample_weight|classes|array|features|samples|dtype|"
    r"labels?\b|setting an array element|scoring|learning_rate_init|class_weight|random_state|"
    r"not fitted"
)


def is_named(error):
    return bool(_NAMED.search(str(error)))


class FuzzError(AssertionError):
    """Something that has to hold does not."""


def check(holds, *what):
    if not holds:
        raise FuzzError(" ".join(map(str, what)))


# --- living through a case ---------------------------------------------------------------


@contextlib.contextmanager
def surroundings(fewest_draws):
    """Deletions after few mini-batches; warnings of NumPy are errors, others are not shown."""
    before = criteria.MIN_DRAWS, online.EPOCH
    criteria.MIN_DRAWS = online.EPOCH = fewest_draws
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            warnings.filterwarnings("error", "overflow|invalid value|divide by zero|underflow")
            warnings.filterwarnings("error", category=DeprecationWarning)
            yield
    finally:
        criteria.MIN_DRAWS, online.EPOCH = before


def network_of(model):
    return [*model.coefs_, *model.intercepts_, model.support_]


def same_network(a, b):
    pairs = list(zip(network_of(a), network_of(b), strict=True))
    return all(x.shape == y.shape and np.array_equal(x, y) for x, y in pairs)


def _attempt(call, *arguments, **keywords):
    """The result of a call, or the refusal; anything else is an error of ours."""
    try:
        return call(*arguments, **keywords), None
    except (ValueError, TypeError) as error:
        check(is_named(error), "an error names nothing:", type(error).__name__, error)
        return None, error


class Life:
    """A model and its twin, from one step to the next."""

    def __init__(self, case, counts):
        self.case, self.counts = case, counts
        self.model = case.kind(**case.settings)
        self.twin = case.kind(**case.settings)
        self.names = None

    def count(self, kind, name, number=1):
        self.counts[kind, str(name)] += number

    @property
    def is_fitted(self):
        return self.twin.__sklearn_is_fitted__()

    def live(self):
        for step in self.case.steps:
            getattr(self, "do_" + step[0].replace(" ", "_"))(*step[1:])
            if self.is_fitted:
                self.look_at_both()

    def both(self, name, form, rows, *more, **keywords):
        """Call a method of both with the same rows; they agree in the result, or the refusal."""
        X = self.case.X[slice(*rows)]
        self.count("container", form[1])
        self.count("dtype", form[0])
        found, refusal = _attempt(getattr(self.model, name), held(X, form), *more, **keywords)
        expected, wanted = _attempt(getattr(self.twin, name), X, *more, **keywords)
        if (refusal is None) != (wanted is None):
            # Zeros times what is not finite are nothing where zeros are not stored.
            refusal, wanted = (
                refusal or self.diverged(self.model),
                wanted or self.diverged(self.twin),
            )
        check(
            type(refusal) is type(wanted),
            f"{name} of {form} and of a plain array differ:", repr(refusal), repr(wanted),
        )  # fmt: skip
        # Both have been called.
        self.count(f"{name}, done" if wanted is None else f"{name}, refused", "", 2)
        if wanted is not None:
            self.count("error", type(wanted).__name__, 2)
        return found, expected, wanted

    def be_fitted(self):
        """Fit models that were refused so far, by settings that are always possible; mostly."""
        if not self.is_fitted and len(self.case.steps) % 4:
            for each in (self.model, self.twin):
                each.set_params(**{
                    name: value for name, value in _POSSIBLE.items() if name in each.get_params()
                })  # fmt: skip
            self.do_fit(("f8", "C"), False, False)

    # --- steps ---------------------------------------------------------------------------

    def do_fit(self, form, weighted, judged):
        case = self.case
        more = {}
        if weighted:
            more["sample_weight"] = np.arange(len(case.X)) % 3 + 0.5
        if judged:
            more |= {"X_val": case.X, "y_val": case.y}
        before = self.state()
        *_, refusal = self.both("fit", form, (0, None), case.y, **more)
        if refusal is not None:
            check(self.state() == before, "a fit that was refused has changed the estimator")

    def do_partial_fit(self, form, rows, again, weighted, judged):
        case = self.case
        y = case.y[slice(*rows)]
        more = {"sample_weight": np.arange(len(y)) % 3 + 0.5} if weighted else {}
        if judged:
            more |= {"X_val": case.X, "y_val": case.y}
        if case.classes is not None and not self.is_fitted:
            more["classes"] = case.classes
        for _ in range(again):
            *_, refusal = self.both("partial_fit", form, rows, y, **more)
            if refusal is not None:
                break

    def do_predict(self, form, rows):
        self.be_fitted()
        names = ["predict"]
        if self.case.kind is HardL0MLPClassifier:
            names += ["predict_proba", "predict_log_proba"]
        for name in names:
            found, expected, refusal = self.both(name, form, rows)
            if refusal is None:
                self.check_prediction(name, found, expected, rows)

    def undecided(self, rows):
        """Which rows rounding alone may give another label."""
        outputs = self.twin.predict_proba(self.case.X[slice(*rows)])
        if self.twin._multilabel:
            margins = np.abs(outputs - 0.5).min(axis=1)
        else:
            margins = np.diff(np.sort(outputs, axis=1)[:, -2:])[:, 0]
        return margins <= 1e-5

    def check_prediction(self, name, found, expected, rows):
        model, n_rows = self.model, len(range(len(self.case.X))[slice(*rows)])
        check(found.shape == expected.shape, name, "has shapes", found.shape, expected.shape)
        check(found.shape[0] == n_rows, name, "gives", found.shape, "of", n_rows, "rows")
        if sp.issparse(found):
            found, expected = found.toarray(), expected.toarray()
        if name == "predict" and self.case.kind is HardL0MLPClassifier:
            check(found.dtype == expected.dtype, "labels of dtype", found.dtype, expected.dtype)
            check(np.isin(found, model.classes_ if found.ndim == 1 else (0, 1)).all(), "no label")
            differ = (found != expected).reshape(n_rows, -1).any(axis=1)
            check(not (differ & ~self.undecided(rows)).any(), "labels", found, expected)
            return
        check(not np.isnan(found).any(), name, "gives NaN")
        if name == "predict_log_proba":  # of probabilities too small for float32 it is infinite
            found, expected = np.exp(found), np.exp(expected)
        size = np.abs(expected[np.isfinite(expected)]).max(initial=1e-30)
        check(
            (np.abs(found - expected) <= 1e-3 * size + 1e-6).all(),
            name, "differs between containers:", found, expected,
        )  # fmt: skip
        if name == "predict_proba":
            check((found >= 0).all() and (found <= 1).all(), "probabilities beyond [0, 1]")
            if found.shape[1] == len(model.classes_) and not model._multilabel:
                check(np.allclose(found.sum(axis=1), 1.0, atol=1e-4), "they do not sum to 1")

    def do_extremes(self, value, dtype):
        """Rows of any finite numbers give numbers."""
        self.be_fitted()
        X = (np.sign(self.case.X) * value).astype(dtype)
        name = "predict_proba" if self.case.kind is HardL0MLPClassifier else "predict"
        with np.errstate(invalid="ignore"):  # scikit-learn adds numbers up to look for NaN
            found, refusal = _attempt(getattr(self.model, name), X)
        self.count("extremes", value)
        self.count(f"{name}, done" if refusal is None else f"{name}, refused", "")
        if refusal is None:
            check(found.shape[0] == len(X), name, "gives", found.shape)
            check(not np.isnan(found).any(), name, "gives NaN of rows of", value)

    def do_score(self, form, rows):
        self.be_fitted()
        found, expected, refusal = self.both("score", form, rows, self.case.y[slice(*rows)])
        n_rows = len(range(len(self.case.X))[slice(*rows)])
        if refusal is None and n_rows > 1:
            check(np.isfinite(found), "a score of", found)
            if self.case.kind is HardL0MLPClassifier:
                most = self.undecided(rows).mean() + 1e-9
            else:
                most = 0.01 + 0.01 * abs(expected)
            check(abs(found - expected) <= most, "scores", found, expected)

    def do_transform(self, form, rows):
        self.be_fitted()
        found, expected, refusal = self.both("transform", form, rows)
        if refusal is not None:
            return
        check(found.shape == expected.shape, "transform gives", found.shape, expected.shape)
        check(found.shape[1] == self.model.support_.sum(), "transform keeps", found.shape[1])
        back, refusal = _attempt(self.model.inverse_transform, found)
        check(refusal is None, "what was transformed cannot be put back:", refusal)
        check(back.shape == (found.shape[0], len(self.model.support_)), "it has", back.shape)
        dense = [part.toarray() if sp.issparse(part) else np.asarray(part, float)
                 for part in (found, expected)]  # fmt: skip
        check(np.array_equal(*dense), "transform differs between containers")

    def do_store(self, protocol):
        self.count("store", protocol)
        self.model = pickle.loads(pickle.dumps(self.model, protocol))
        if isinstance(self.twin.target_size, str):  # a pickle of a pickle has other bytes
            self.twin = pickle.loads(pickle.dumps(self.twin, protocol))

    def do_change(self, changes):
        self.count("change", *changes)
        for each in (self.model, self.twin):
            each.set_params(**changes)

    def do_bad_parameter(self, method, bad):
        name, value = bad
        good = self.model.get_params()[name]
        before = self.state()
        self.count("bad parameter", name)
        self.model.set_params(**{name: value})
        refusal = self.refused(self.model, method, self.case.X, self.case.y)
        self.count(f"{method}, refused", "")
        self.model.set_params(**{name: good})
        check(refusal is not None, f"{name}={value!r} is not refused by {method}")
        if name not in str(refusal):  # then something else is wrong as well
            other = self.refused(copy.deepcopy(self.model), method, self.case.X, self.case.y)
            check(other is not None, f"{name}={value!r} is not named:", refusal)
        check(self.state() == before, f"{name}={value!r} was refused and has changed something")

    def do_bad_rows(self, method, what):
        if method == "predict" and (what in _OF_TARGETS or not self.is_fitted):
            return
        if what in _NEEDS_FIT and (method == "fit" or not self.is_fitted):
            return
        if what == "fewer targets" and len(self.case.y) < 2:
            return
        X, y = SPOILT[what](self.case.X, self.case.y)
        before = self.state()
        self.count("bad rows", what)
        refusal = self.refused(self.model, method, X, y)
        self.count(f"{method}, refused", "")
        check(refusal is not None, f"{what} is not refused by {method}")
        check(self.state() == before, f"{what} was refused and has changed something")

    def refused(self, model, method, X, y):
        """The refusal of a call, or None."""
        call = getattr(model, method)
        if method == "predict":
            return _attempt(call, X)[1]
        more = {}
        if method == "partial_fit" and self.case.classes is not None and not self.is_fitted:
            more["classes"] = self.case.classes
        return _attempt(call, X, y, **more)[1]

    # --- what has to hold after each step ------------------------------------------------

    def state(self):
        """What an outsider sees of the model."""
        model = self.model
        if not self.is_fitted:
            return sorted(vars(model))
        try:
            arrays = [array.tobytes() for array in network_of(model)]
        except ValueError as error:  # it has diverged
            return str(error)
        return arrays, model.n_iter_, model.loss_curve_, model.t_, model.n_features_in_

    def diverged(self, model):
        """The error that tells that a model has parameters which are not finite, or None."""
        return _attempt(lambda: model.coefs_)[1] if self.is_fitted else None

    def look_at_both(self):
        model, twin = self.model, self.twin
        refusal, expected = self.diverged(model), self.diverged(twin)
        check(type(refusal) is type(expected), "one has diverged:", refusal, expected)
        if refusal is not None:
            self.count("diverged", "")
            return
        check(same_network(model, twin), "containers decide about the network")
        self.look_at(model)

    def look_at(self, model):
        coefs, intercepts = model.coefs_, model.intercepts_
        for array in coefs + intercepts:
            check(array.dtype == np.float32, "weights of dtype", array.dtype)
            check(np.isfinite(array).all(), "weights that are not finite")
        shapes = [coef.shape for coef in coefs]
        units = model.n_units_
        check(shapes == list(zip(units[:-1], units[1:], strict=True)), "shapes", shapes, units)
        check(min(units) >= 1, "an empty layer:", units)
        check([len(b) for b in intercepts] == list(units[1:]), "biases do not fit", units)
        check(model.n_parameters_ == sum(a.size for a in coefs + intercepts), "a wrong size")
        check(model.support_.shape == (self.case.X.shape[1],), "support_ of", model.support_.shape)
        check(model.support_.sum() == units[0], "support_ is not what is read")
        n_epochs = len(model.loss_curve_)
        check({len(entries) for entries in model.history_.values()} == {n_epochs}, "history_")
        check(1 <= model.n_iter_ <= n_epochs, "n_iter_", model.n_iter_)
        check(np.isfinite(model.loss_curve_).all(), "losses", model.loss_curve_)
        sizes = model.history_["n_parameters"]
        if not model.warm_start:
            check(sizes == sorted(sizes, reverse=True), "it has grown:", sizes)
        scores = [score for score in model.validation_scores_ or () if score is not None]
        check(np.isfinite(scores).all(), "scores", scores)
        if not self.is_stream():
            self.look_at_fit(model)

    def is_stream(self):
        return "_stream" in vars(self.twin)

    def look_at_fit(self, model):
        """What has to hold unless parameters have changed since."""
        if any(step[0] == "change" for step in self.case.steps):
            return
        target, budget = model.target_size, model.memory_budget
        if isinstance(target, int) and model.pruning == "hard":
            check(model.n_parameters_ <= target, "larger than", target)
        if isinstance(target, str) and not model.warm_start:
            n_bytes = len(pickle.dumps(model))
            check(n_bytes <= {"1500B": 1500, "2kB": 2000, "2.5 KiB": 2560, "4kB": 4000}[target],
                  "the model takes", n_bytes, "bytes, more than", target)  # fmt: skip
        if budget is not None and not model.warm_start:
            most = {"6kB": 6000, "1MiB": 2**20}.get(budget, budget)
            taken = max(model.history_["buffer_nbytes"])
            check(taken <= most, "buffers of", taken, "bytes, more than", budget)


def live(case, counts=None):
    """Live through a case; raises `FuzzError`, or whatever it should not."""
    counts = Counter() if counts is None else counts
    counts["cases", case.kind.__name__] += 1
    with surroundings(case.fewest_draws):
        Life(case, counts).live()
