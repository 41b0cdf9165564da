"""`HardL0MLPClassifier` as its users meet it: fitted attributes, inputs, targets, errors."""

import copy
import inspect
import pickle
import re
import subprocess
import sys
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from doctests import n_failed
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastl0 import HardL0MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: Prunes the digits strongly within a few dozen epochs.
EAGER = {
    "hidden_layer_sizes": (100,),
    "max_iter": 60,
    "batch_size": 50,
    "learning_rate_init": 0.003,
    "lam": 0.3,
    "penalty": "fan_out",
    "finetune_fraction": 0.0,
    "gate_learning_rate_init": 0.03,
    "random_state": 0,
}
eagerly = pytest.mark.usefixtures("decided_each_epoch")
going_back = pytest.mark.filterwarnings("ignore:.*training goes back:RuntimeWarning")
#: Learns the digits within a few dozen epochs, and prunes little.
QUICK = {
    "hidden_layer_sizes": (100,),
    "max_iter": 60,
    "batch_size": 50,
    "learning_rate_init": 0.003,
    "lam": 0.1,
    "penalty": "fan_out",
    "finetune_fraction": 0.0,
    "random_state": 0,
}


def same_network(a, b):
    pairs = zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True)
    return np.array_equal(a.support_, b.support_) and all(np.array_equal(x, y) for x, y in pairs)


@parametrize_with_checks(
    [
        HardL0MLPClassifier(),
        HardL0MLPClassifier(pruning="none"),
        HardL0MLPClassifier(pruning="soft", solver="sgd"),
        HardL0MLPClassifier(encoding="piecewise"),
    ]
)
def test_scikit_learn_checks(estimator, check):
    if "sample_weight_equivalence" in str(check):
        # In mini-batches neither is MLPClassifier; these are scikit-learn's own settings for
        # MLPRegressor, and all rows are one mini-batch. (Other checks share the estimator.)
        # Few steps: the rounding of float32 adds up to the bound, which is meant for float64.
        estimator = clone(estimator).set_params(
            pruning="none", solver="sgd", tol=1e-2, max_iter=3, random_state=42
        )
    check(estimator)


# --- parameters and attributes -----------------------------------------------------------


def test_shared_parameters_have_the_defaults_of_mlpclassifier():
    ours, theirs = HardL0MLPClassifier().get_params(), MLPClassifier().get_params()
    shared = set(ours) & set(theirs) - {"hidden_layer_sizes"}
    assert len(shared) >= 21
    assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}


@eagerly
def test_hard_pruning_leaves_a_small_accurate_network(digits):
    clf = HardL0MLPClassifier(**EAGER).fit(*digits)
    assert clf.n_parameters_ < 0.5 * 7510
    assert clf.score(*digits) > 0.95


@eagerly
def test_attributes_agree_with_each_other(digits):
    clf = HardL0MLPClassifier(**EAGER | {"hidden_layer_sizes": (30, 20)}).fit(*digits)
    inputs, *hidden, outputs = clf.n_units_
    assert [c.shape for c in clf.coefs_] == list(
        zip((inputs, *hidden), (*hidden, outputs), strict=True)
    )
    assert [i.shape for i in clf.intercepts_] == [(n,) for n in (*hidden, outputs)]
    assert clf.n_parameters_ == sum(a.size for a in clf.coefs_ + clf.intercepts_)
    assert all(a.dtype == np.float32 for a in clf.coefs_ + clf.intercepts_)
    assert clf.support_.dtype == bool
    assert clf.support_.shape == (64,)
    assert clf.support_.sum() == inputs < 64
    assert clf.n_layers_ == 4
    assert clf.n_outputs_ == outputs == 10
    assert clf.t_ == clf.n_iter_ * 600


@eagerly
def test_history_has_one_entry_an_epoch(digits):
    clf = HardL0MLPClassifier(**EAGER).fit(*digits)
    wanted = {"loss", "n_units", "n_parameters", "buffer_nbytes", "batch_size", "epoch_time"}
    assert wanted <= set(clf.history_)
    assert {len(entries) for entries in clf.history_.values()} == {clf.n_iter_}
    assert clf.history_["loss"] == clf.loss_curve_
    assert clf.history_["loss"][-1] == clf.loss_
    assert clf.history_["n_parameters"][-1] == clf.n_parameters_
    assert clf.history_["n_units"][-1] == clf.n_units_


@eagerly
def test_hard_shrinks_monotonically_from_the_full_network(digits):
    history = HardL0MLPClassifier(**EAGER).fit(*digits).history_
    assert history["n_units"][0] == (64, 100, 10)
    widths = np.array(history["n_units"])
    assert (np.diff(widths, axis=0) <= 0).all()
    assert (np.diff(history["buffer_nbytes"]) <= 0).all()
    assert history["buffer_nbytes"][-1] < 0.7 * history["buffer_nbytes"][0]


@eagerly
def test_soft_never_resizes_and_leaves_out_closed_units_at_the_end(digits):
    clf = HardL0MLPClassifier(pruning="soft", **EAGER).fit(*digits)
    assert set(clf.history_["n_units"]) == {(64, 100, 10)}
    assert len(set(clf.history_["buffer_nbytes"])) == 1
    assert clf.n_parameters_ < 7510


def test_none_is_a_plain_network(digits):
    clf = HardL0MLPClassifier(pruning="none", **QUICK).fit(*digits)
    assert clf.n_units_ == (64, 100, 10)
    assert clf.support_.all()
    assert clf.score(*digits) > 0.97


@eagerly
def test_inputs_without_gates_all_stay(digits):
    clf = HardL0MLPClassifier(gate_inputs=False, **EAGER).fit(*digits)
    assert clf.support_.all()
    assert clf.n_units_[1] < 100


@eagerly
def test_a_larger_lam_leaves_a_smaller_network(digits):
    sizes = [
        clone(HardL0MLPClassifier(**EAGER)).set_params(lam=lam).fit(*digits).n_parameters_
        for lam in (0.01, 0.1, 1.0)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


@eagerly
def test_no_layer_ever_empties(digits):
    clf = HardL0MLPClassifier(
        (10, 10), max_iter=60, lam=1e6, gate_learning_rate_init=1.0, finetune_fraction=0.0
    )
    clf.fit(*digits)
    assert clf.n_units_ == (1, 1, 1, 10)
    assert np.isfinite(clf.predict_proba(digits[0])).all()


@eagerly
def test_without_hidden_layers_it_is_logistic_regression_with_feature_selection(digits):
    clf = HardL0MLPClassifier(**EAGER | {"hidden_layer_sizes": ()}).fit(*digits)
    assert clf.n_units_[1:] == (10,)
    assert clf.n_units_[0] < 64
    assert clf.score(*digits) > 0.9


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_every_activation_and_solver_learns(digits, activation, solver):
    settings = QUICK | ({"learning_rate_init": 0.1} if solver == "sgd" else {})
    clf = HardL0MLPClassifier(activation=activation, solver=solver, **settings).fit(*digits)
    assert clf.score(*digits) > 0.93


@pytest.mark.parametrize("schedule", ["invscaling", "adaptive"])
def test_sgd_schedules_learn(digits, schedule):
    settings = QUICK | {"learning_rate_init": 0.2, "power_t": 0.1, "learning_rate": schedule}
    clf = HardL0MLPClassifier(solver="sgd", **settings).fit(*digits)
    assert clf.score(*digits) > 0.9


# --- what fit leaves behind --------------------------------------------------------------


def test_pickle_takes_about_four_bytes_a_parameter(digits):
    clf = HardL0MLPClassifier((300,), pruning="none", max_iter=3).fit(*digits)
    assert len(pickle.dumps(clf)) < 4 * clf.n_parameters_ + 3000
    assert same_network(pickle.loads(pickle.dumps(clf)), clf)


@eagerly
def test_a_fitted_classifier_holds_no_training_state(digits):
    clf = HardL0MLPClassifier(**EAGER).fit(*digits)
    assert not hasattr(clf, "_warm_state")
    owned = [a for a in clf.coefs_ + clf.intercepts_ if a.base is not None]
    assert owned == []


def test_predicting_never_imports_numba_or_the_core(digits, tmp_path):
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(HardL0MLPClassifier(max_iter=2).fit(*digits)))
    code = (
        "import pickle, sys, numpy as np\n"
        f"clf = pickle.loads(open({str(path)!r}, 'rb').read())\n"
        "clf.predict_proba(np.zeros((1, 64), np.float32))\n"
        "assert not {'numba', 'llvmlite', 'fastl0._kernels', 'tqdm'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


FINGERPRINT = """
import hashlib, warnings
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits
from fastl0 import HardL0MLPClassifier
X, y = load_digits(return_X_y=True)
clf = HardL0MLPClassifier((40, 30), max_iter=30, {settings} random_state=7).fit(X, y)
digest = hashlib.sha256()
for array in [*clf.coefs_, *clf.intercepts_, clf.support_]:
    digest.update(array.tobytes())
print(digest.hexdigest(), clf.n_units_)
"""


@pytest.mark.parametrize(
    "settings", ["lam=1.0, batch_size=16,", 'target_size=0.2, batch_size="dynamic",']
)
def test_the_same_seed_gives_the_same_bits_in_another_process(settings):
    code = FINGERPRINT.format(settings=settings)
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1]
    assert len(runs[0]) > 64


def test_another_seed_gives_another_model(digits):
    first = HardL0MLPClassifier(max_iter=2, random_state=0).fit(*digits)
    second = HardL0MLPClassifier(max_iter=2, random_state=1).fit(*digits)
    assert not same_network(first, second)


# --- inputs ------------------------------------------------------------------------------


def layouts(X, folder):
    """The same numbers in many clothes; X holds whole numbers."""
    mapped = np.memmap(folder / "X.bin", dtype=np.uint8, mode="w+", shape=X.shape)
    mapped[:] = X
    frozen = X.astype(np.int32)
    frozen.setflags(write=False)
    wide = np.zeros((2 * len(X), 2 * X.shape[1]), np.float64)
    wide[::2, ::2] = X
    return {
        "float64": X.astype(np.float64),
        "float16": X.astype(np.float16),
        "big-endian": X.astype(">f4"),
        "uint8": X.astype(np.uint8),
        "int64 Fortran": np.asfortranarray(X.astype(np.int64)),
        "read-only int32": frozen,
        "strided float64": wide[::2, ::2],
        "memory-mapped uint8": np.memmap(folder / "X.bin", dtype=np.uint8, mode="r", shape=X.shape),
        "CSR": sp.csr_matrix(X),
        "CSR array of int16": sp.csr_array(X.astype(np.int16)),
        "CSC": sp.csc_matrix(X),
        "DataFrame": pd.DataFrame(X),
        "list": X.tolist(),
    }


@eagerly
def test_every_layout_of_the_same_numbers_gives_the_same_model(digits, tmp_path):
    X, y = (digits[0] * 16).astype(np.float32), digits[1]
    settings = EAGER | {"max_iter": 12, "gate_learning_rate_init": 0.1}
    reference = HardL0MLPClassifier(**settings).fit(X, y)
    assert reference.n_units_[0] < 64
    expected = reference.predict_proba(X)
    for name, other in layouts(X, tmp_path).items():
        clf = HardL0MLPClassifier(**settings).fit(other, y)
        assert same_network(reference, clf), name
        np.testing.assert_allclose(
            clf.predict_proba(other), expected, rtol=1e-4, atol=1e-5, err_msg=name
        )


def test_fit_leaves_the_users_data_alone(digits):
    X, y = digits[0].copy(), digits[1].copy()
    HardL0MLPClassifier(max_iter=3).fit(X, y)
    np.testing.assert_array_equal(X, digits[0])
    np.testing.assert_array_equal(y, digits[1])


def test_feature_names_are_kept_and_checked(digits):
    X = pd.DataFrame(digits[0], columns=[f"pixel{i}" for i in range(64)])
    clf = HardL0MLPClassifier(max_iter=3).fit(X, digits[1])
    assert list(clf.feature_names_in_) == list(X.columns)
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(X[X.columns[::-1]])


# --- targets -----------------------------------------------------------------------------


def test_binary_string_labels(digits):
    X, y = digits[0], np.where(digits[1] < 5, "low", "high")
    clf = HardL0MLPClassifier(**QUICK).fit(X, y)
    assert list(clf.classes_) == ["high", "low"]
    assert clf.n_units_[-1] == 1
    proba = clf.predict_proba(X)
    assert proba.shape == (600, 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
    assert clf.score(X, y) > 0.95


PROBLEMS = {
    "digits": lambda X, y: (X, y),
    "strings": lambda X, y: (X, np.array([f"class {k}" for k in y])),
    "binary": lambda X, y: (X, y > 4),
    "labels": lambda X, y: (X, np.eye(10, dtype=int)[y]),
    "names": lambda X, y: (pd.DataFrame(X, columns=[f"pixel{k}" for k in range(64)]), y),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_defaults_learn(digits, problem):
    X, y = PROBLEMS[problem](*digits)
    clf = HardL0MLPClassifier(random_state=0).fit(X, y)
    assert clf.n_iter_ == 200
    assert clf.score(X, y) > 0.95


@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix])
def test_multilabel_targets(container):
    X, Y = make_multilabel_classification(n_samples=300, n_features=10, random_state=0)
    X = StandardScaler().fit_transform(X)
    clf = HardL0MLPClassifier(**QUICK).fit(X, container(Y))
    predicted = clf.predict(X)
    assert sp.issparse(predicted) == (container is sp.csr_matrix)
    predicted = predicted.toarray() if sp.issparse(predicted) else predicted
    assert predicted.shape == Y.shape
    assert (predicted == Y).mean() > 0.8
    assert clf.predict_proba(X).shape == Y.shape


def test_more_than_256_classes():
    X = np.tile(np.eye(300, dtype=np.float32), (3, 1))
    y = np.tile(np.arange(300) * 10, 3)
    clf = HardL0MLPClassifier(**QUICK | {"hidden_layer_sizes": (50,), "pruning": "none"}).fit(X, y)
    assert clf.score(X, y) > 0.99


def test_log_probabilities_are_the_logarithm(digits):
    clf = HardL0MLPClassifier(max_iter=5).fit(*digits)
    X = digits[0][:20]
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X)), clf.predict_proba(X), rtol=1e-6)


WORDS = np.array(["no", "yes"])[np.arange(60) % 2]


@pytest.mark.parametrize(
    "given",
    [
        WORDS,
        WORDS.tolist(),
        tuple(WORDS.tolist()),
        WORDS.astype(object),
        pd.Series(WORDS),
        pd.Series(WORDS, dtype=object),
        pd.Series(WORDS, dtype="string"),
        pd.Series(WORDS, dtype="category"),
        pd.Categorical(WORDS),
        pd.Index(WORDS),
        pl.Series(WORDS.tolist()),
    ],
    ids=lambda given: f"{type(given).__name__} {getattr(given, 'dtype', '')}",
)
def test_words_have_the_dtype_that_mlpclassifier_gives_them(given):
    X = np.random.default_rng(0).normal(size=(60, 3))
    ours = HardL0MLPClassifier((3,), max_iter=2, lam=0.1, random_state=0).fit(X, given)
    theirs = MLPClassifier((3,), max_iter=2, random_state=0).fit(X, given)
    assert ours.classes_.dtype == theirs.classes_.dtype == "<U3"
    assert ours.classes_.tolist() == theirs.classes_.tolist() == ["no", "yes"]
    assert ours.predict(X).dtype == theirs.predict(X).dtype == "<U3"
    streamed = HardL0MLPClassifier((3,), random_state=0).partial_fit(X, given, classes=given)
    assert streamed.classes_.dtype == streamed.predict(X).dtype == "<U3"
    assert streamed.partial_fit(X, given, X_val=X, y_val=given).t_ == 120
    assert 0.0 <= ours.score(X, given) <= 1.0


# --- one class ---------------------------------------------------------------------------

X_ONE = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
#: Of 31 parameters.
ONE = {"hidden_layer_sizes": (5,), "max_iter": 8, "random_state": 0}


def assert_constant(clf, label):
    """It says that everything is of this class, for certain."""
    X = 1e3 * np.random.default_rng(1).normal(size=(20, 4))
    assert clf.classes_.tolist() == [label]
    assert clf.predict(X).tolist() == [label] * 20
    np.testing.assert_array_equal(clf.predict_proba(X), np.tile([1.0, 0.0], (20, 1)))
    np.testing.assert_array_equal(clf.predict_log_proba(X), np.tile([0.0, -np.inf], (20, 1)))
    assert clf.score(X, [label] * 20) == 1.0
    assert clf.n_outputs_ == clf.n_units_[-1] == 1


@pytest.mark.parametrize("label", [0, 1, "no", True, 2.0])
def test_one_class_is_learned_as_mlpclassifier_learns_it(label):
    y = np.full(60, label)
    ours = HardL0MLPClassifier(**ONE).fit(X_ONE, y)
    theirs = MLPClassifier((5,), max_iter=500, learning_rate_init=0.01, random_state=0).fit(
        X_ONE, y
    )
    assert_constant(ours, label)
    assert ours.classes_.dtype == theirs.classes_.dtype
    assert ours.predict(X_ONE).dtype == theirs.predict(X_ONE).dtype
    assert ours.n_outputs_ == theirs.n_outputs_
    np.testing.assert_allclose(ours.predict_proba(X_ONE), theirs.predict_proba(X_ONE), atol=0.05)


CONSTANTS = {
    "by default": {},
    "to a size": {"target_size": 12},
    "by price": {"lam": 0.1},
    "softly": {"pruning": "soft"},
    "whole": {"pruning": "none"},
    "sgd": {"solver": "sgd", "learning_rate": "adaptive"},
    "without hidden units": {"hidden_layer_sizes": ()},
    "smoothed": {"label_smoothing": 0.2},
    "early stopping": {"early_stopping": True},
    "scoring": {"early_stopping": True, "scoring": "accuracy"},
    "balanced": {"class_weight": "balanced"},
    "weights of more classes": {"class_weight": {"a": 2.0, "b": 1.0}},
    "budget": {"memory_budget": "20kB"},
    "dynamic": {"batch_size": "dynamic"},
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_is_learned_with_any_settings(name):
    settings = ONE | CONSTANTS[name]
    y = np.full(60, "a")
    clf = HardL0MLPClassifier(**settings).fit(X_ONE, y, sample_weight=np.arange(60))
    assert_constant(clf, "a")
    assert max(clf.loss_curve_) < 10.0
    if clf.early_stopping:
        assert set(clf.validation_scores_) == {1.0}
        assert set(clf.validation_loss_curve_) == {0.0}
    if name in ("by default", "to a size"):
        size = settings.get("target_size", int(0.3 * 31))
        assert 0.5 * size < clf.n_parameters_ <= size


def test_a_constant_is_judged_by_rows_that_are_given():
    y = np.full(60, "a")
    clf = HardL0MLPClassifier(**ONE)
    assert_constant(clf.fit(X_ONE, y, X_val=X_ONE[:7], y_val=y[:7]), "a")
    assert clf.validation_scores_ == [1.0] * 8
    with pytest.raises(ValueError, match=r"`y_val` must hold labels out of array\(\['a'\]"):
        clf.fit(X_ONE, y, X_val=X_ONE[:2], y_val=["a", "b"])


def test_a_constant_is_gone_on_with():
    y = np.zeros(60, int)
    clf = HardL0MLPClassifier(**ONE, warm_start=True).fit(X_ONE, y).fit(X_ONE, y)
    assert_constant(clf, 0)
    assert len(clf.loss_curve_) == 16
    with pytest.raises(ValueError, match=r"unseen at the first fit: array\(\[1\]\)"):
        clf.fit(X_ONE, np.arange(60) % 2)
    assert_constant(clf.set_params(warm_start=False).partial_fit(X_ONE, y), 0)


def test_one_row_is_learned():
    assert_constant(HardL0MLPClassifier(**ONE).fit(X_ONE[:1], [3]), 3)


@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_labels_that_are_always_or_never_there_are_learned(container):
    Y = np.column_stack([np.ones(60, int), np.zeros(60, int), X_ONE[:, 0] > 0]).astype(int)
    settings = ONE | {"max_iter": 100, "learning_rate_init": 0.02, "target_size": 0.8}
    for n_labels in (2, 3):
        clf = HardL0MLPClassifier(**settings).fit(X_ONE, container(Y[:, :n_labels]))
        found = clf.predict_proba(X_ONE)
        assert found[:, 0].min() > 0.95
        assert found[:, 1].max() < 0.05
    assert clf.score(X_ONE, Y) > 0.9


def test_rows_of_a_class_without_weight_are_none():
    y = np.arange(60) % 2
    settings = ONE | {"max_iter": 100, "learning_rate_init": 0.02}
    for clf in (
        HardL0MLPClassifier(**settings).fit(X_ONE, y, sample_weight=y),
        HardL0MLPClassifier(**settings, class_weight={0: 0.0, 1: 1.0}).fit(X_ONE, y),
    ):
        assert clf.classes_.tolist() == [0, 1]
        assert clf.predict_proba(X_ONE)[:, 1].min() > 0.95


# --- mini-batches ------------------------------------------------------------------------

CLIPPED = "^Got `batch_size` less than 1 or larger than sample size. It is going to be clipped.$"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"pruning": "none"},
        {"solver": "sgd"},
        {"memory_budget": "1MiB"},
        {"early_stopping": True, "validation_fraction": 0.5},
    ],
)
def test_a_mini_batch_of_more_rows_than_there_are_is_clipped(settings):
    y = np.arange(60) % 2
    n_rows = 30 if "early_stopping" in settings else 60
    with pytest.warns(UserWarning, match=CLIPPED) as caught:
        clipped = HardL0MLPClassifier(**ONE, **settings, batch_size=n_rows + 1).fit(X_ONE, y)
    assert [warning.filename for warning in caught if "clipped" in str(warning.message)] == [
        __file__
    ]
    assert set(clipped.history_["batch_size"]) == {n_rows}
    fits = HardL0MLPClassifier(**ONE, **settings, batch_size=n_rows).fit(X_ONE, y)  # no warning
    assert same_network(clipped, fits)


def test_the_warning_of_a_mini_batch_is_that_of_mlpclassifier():
    y = np.arange(60) % 2
    found = []
    for clf in (
        HardL0MLPClassifier(**ONE, pruning="none", batch_size=61),
        MLPClassifier((5,), max_iter=8, batch_size=61),
    ):
        with pytest.warns(UserWarning, match="Got `batch_size`") as caught:
            clf.fit(X_ONE, y)
        found.append(
            [(w.category, str(w.message).rstrip(".")) for w in caught if "batch" in str(w.message)]
        )
    assert found[0] == found[1] != []


@pytest.mark.filterwarnings("ignore:Got `batch_size`:UserWarning")
def test_a_warm_start_clips_a_mini_batch_to_its_own_rows():
    y = np.arange(60) % 2
    clf = HardL0MLPClassifier(**ONE | {"max_iter": 1}, batch_size=40, lam=0.1, warm_start=True)
    for n_rows in (60, 12, 60, 40):
        clf.fit(X_ONE[:n_rows], y[:n_rows])
    assert clf.history_["batch_size"] == [40, 12, 40, 40]


# --- at work in scikit-learn ---------------------------------------------------------------


def test_column_transformer_pipeline_with_a_dataframe():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "torque": rng.normal(40, 10, 400),
            "speed": rng.normal(1500, 100, 400),
            "kind": rng.choice(["L", "M", "H"], 400),
        }
    )
    y = np.where((frame.torque > 40) ^ (frame.kind == "L"), "fail", "ok")
    model = make_pipeline(
        ColumnTransformer(
            [("number", StandardScaler(), ["torque", "speed"]), ("text", OneHotEncoder(), ["kind"])]
        ),
        HardL0MLPClassifier(max_iter=300, learning_rate_init=0.01, random_state=0),
    ).fit(frame, y)
    assert model.score(frame, y) > 0.9


def test_cross_validation(digits):
    scores = cross_val_score(HardL0MLPClassifier(**QUICK), *digits, cv=3)
    assert scores.min() > 0.75
    assert scores.mean() > 0.85


def test_grid_search_over_lam_in_two_processes(digits):
    model = make_pipeline(MinMaxScaler(), HardL0MLPClassifier(max_iter=40, random_state=0))
    search = GridSearchCV(
        model, {"hardl0mlpclassifier__lam": [0.01, 1000.0]}, n_jobs=2, cv=3, error_score="raise"
    ).fit(*digits)
    assert search.best_params_ == {"hardl0mlpclassifier__lam": 0.01}


# --- stopping and going on ---------------------------------------------------------------


def test_max_iter_warns_that_it_came_first(digits):
    with pytest.warns(ConvergenceWarning, match="max_iter=3 epochs"):
        HardL0MLPClassifier(max_iter=3, lam=0.1).fit(*digits)


@pytest.mark.parametrize("target", [{}, {"target_size": 0.5}])
def test_with_a_target_all_epochs_are_run_without_a_warning(digits, target):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = HardL0MLPClassifier(
            max_iter=13, tol=10.0, n_iter_no_change=1, gate_learning_rate_init=0.03, **target
        ).fit(*digits)
    assert clf.n_iter_ == 13


def test_a_stalled_loss_stops_without_a_warning(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = HardL0MLPClassifier(pruning="none", tol=10.0, n_iter_no_change=4).fit(*digits)
    assert clf.n_iter_ == 6


def test_early_stopping_keeps_the_best_network(digits):
    settings = {"lam": 0.1, "penalty": "fan_out", "finetune_fraction": 0.0, "random_state": 0}
    clf = HardL0MLPClassifier(
        100, early_stopping=True, max_iter=100, validation_fraction=0.2, **settings
    ).fit(*digits)
    assert len(clf.validation_scores_) == clf.n_iter_
    assert clf.best_validation_score_ == max(clf.validation_scores_)
    assert clf.t_ == clf.n_iter_ * 480
    assert clf.score(*digits) > 0.9


@eagerly
def test_warm_start_goes_on_bit_for_bit(digits):
    whole = HardL0MLPClassifier(**EAGER | {"max_iter": 20}).fit(*digits)
    parts = HardL0MLPClassifier(**EAGER | {"max_iter": 10}, warm_start=True)
    parts.fit(*digits).fit(*digits)
    assert (parts.n_iter_, len(parts.loss_curve_)) == (10, 20)
    assert parts.history_["loss"] == whole.history_["loss"]
    assert same_network(parts, whole)


def test_warm_start_refuses_other_classes_and_other_shapes(digits):
    X, y = digits
    clf = HardL0MLPClassifier(max_iter=2, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"warm_start.*unseen.*\[10\].*afresh"):
        clf.fit(X, y + 1)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes.*\[5\].*afresh"):
        clf.set_params(hidden_layer_sizes=5).fit(X, y)


def test_warm_start_refuses_targets_of_another_kind(digits):
    X, Y = digits[0], np.eye(10, dtype=int)[digits[1]]
    clf = HardL0MLPClassifier(max_iter=2, warm_start=True).fit(*digits)
    with pytest.raises(ValueError, match=r"y must hold one label a row.*multilabel indicator"):
        clf.fit(X, Y)
    clf = HardL0MLPClassifier(max_iter=2, warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"y must hold a multilabel indicator.*one label"):
        clf.fit(*digits)


def test_never_stopping_can_be_said_with_the_largest_int(digits):
    assert HardL0MLPClassifier(max_iter=3, n_iter_no_change=sys.maxsize).fit(*digits).n_iter_ == 3


def test_early_stopping_with_too_few_rows_names_the_parameters():
    with pytest.raises(ValueError, match=r"`validation_fraction`=0.1 .* 4 rows.*early_stopping"):
        HardL0MLPClassifier(early_stopping=True).fit(X4, Y4)


def test_losses_are_plain_floats_whatever_the_parameters(digits):
    clf = HardL0MLPClassifier(max_iter=2, alpha=np.float16(0.1), lam=np.float32(0.1)).fit(*digits)
    assert {type(loss) for loss in clf.loss_curve_} == {float}


def test_predict_refuses_a_csr_matrix_with_indices_out_of_bounds(digits):
    clf = HardL0MLPClassifier(max_iter=2).fit(*digits)
    X = sp.csr_matrix(digits[0])
    X.indices[3] = 10**6
    with pytest.raises(ValueError, match="sound CSR"):
        clf.predict(X)


def interrupt_at(epoch):
    def hook(done, *_):
        if done == epoch:
            raise KeyboardInterrupt

    return hook


def test_ctrl_c_keeps_what_the_finished_epochs_trained(digits):
    clf = HardL0MLPClassifier(max_iter=50)
    with pytest.warns(UserWarning, match="interrupted"):
        clf._fit(*digits, on_epoch=interrupt_at(4), keep_interrupted=True)
    assert clf.n_iter_ == 5
    assert clf.predict(digits[0]).shape == (600,)


@eagerly
def test_an_epoch_hook_can_stop_training(digits):
    seen = []

    def hook(epoch, freeze, entries):
        seen.append((epoch, freeze().n_parameters, entries["n_parameters"]))
        return epoch == 6

    clf = HardL0MLPClassifier(**EAGER)._fit(*digits, hook)
    assert clf.n_iter_ == 7
    assert [epoch for epoch, *_ in seen] == list(range(7))
    assert all(frozen <= trained for _, frozen, trained in seen)


# --- errors ------------------------------------------------------------------------------

X4 = np.arange(12.0).reshape(4, 3)
Y4 = np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_size": 10**6}, r"got 1000000. Give 6 to .* In a search .* give shares, as 0.1.$"),
        ({"target_size": 1e-9}, r"got 1e-09. Give 0.0.* to 1, or change hidden_layer_sizes.$"),
        ({"target_size": "1MiB"}, r"got '1MiB'. Give .* bytes.* In a search .* give shares"),
        ({"alpha": Decimal("0.1")}, r"'alpha'.*float in the range.*Got Decimal\('0.1'\)"),
        ({"target_size": Decimal("0.1")}, r"'target_size'.*Got Decimal\('0.1'\)"),
        ({"droprate_init": (Decimal("0.1"), 0.5)}, r"`droprate_init`.*Decimal\('0.1'\), 0.5"),
        ({"alpha": Fraction(10**400)}, r"'alpha'.*\[0.0, inf\).*Got Fraction\(1000"),
        ({"epsilon": Fraction(1, 10**400)}, r"'epsilon'.*\(0.0, inf\). Got Fraction\(1, 1000"),
        ({"lam": -1}, r"'lam'.*\[0.*Got -1"),
        ({"lam": np.nan}, "'lam'"),
        ({"lam": 0.1, "target_size": 0.5}, "`lam` and `target_size` must not both.*lam=0.1.*Leave"),
        ({"target_size": 0.5, "pruning": "soft"}, '`target_size`.*"hard".*got 0.5.*Set pruning'),
        ({"target_size": "ten"}, "`target_size` must be a positive number of bytes.*'ten'.*Write"),
        ({"target_size": [5]}, "'target_size'"),
        ({"memory_budget": "1 TB"}, "`memory_budget` must be a positive number.*'1 TB'.*Write"),
        ({"memory_budget": 0.5}, "'memory_budget'"),
        ({"memory_budget": 100}, "`memory_budget` must hold .* bytes at least.*got 100. Give"),
        ({"penalty": "L1"}, "'penalty'.*'fan_out'.*Got 'L1'"),
        ({"input_price": -1}, "'input_price'"),
        ({"finetune_fraction": 1.0}, "'finetune_fraction'"),
        ({"batch_size": "huge"}, "'batch_size'"),
        ({"pruning": "magnitude"}, r"'pruning'.*'hard'.*Got 'magnitude'"),
        ({"hidden_layer_sizes": (300, 0)}, r"hidden_layer_sizes.*>= 1.*\(300, 0\).*Drop"),
        ({"hidden_layer_sizes": (3, 2.5)}, r"hidden_layer_sizes.*\(3, 2.5\)"),
        ({"batch_size": 0}, "'batch_size'"),
        ({"prune_threshold": 1.5}, "'prune_threshold'"),
        ({"droprate_init": 1.0}, r"droprate_init.*\(0, 1\).*got 1.0.*\(0.2, 0.5\)"),
        ({"droprate_init": (0.1, 0.2, 0.3)}, "droprate_init"),
        ({"gate_learning_rate_init": 0.0}, "'gate_learning_rate_init'"),
        ({"solver": "lbfgs"}, "'solver'"),
        ({"activation": "swish"}, "'activation'"),
        ({"max_iter": 0}, "'max_iter'"),
    ],
)
def test_bad_parameters_name_the_rule_and_the_value(settings, message):
    with pytest.raises(ValueError, match=message):
        HardL0MLPClassifier(**settings).fit(X4, Y4)


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.where(X4 == 5, np.nan, X4), Y4, "NaN"),
        (np.where(X4 == 5, np.inf, X4), Y4, "infinity"),
        (np.where(X4 == 5, 1e300, X4), Y4, r"X must.*float32.*1e\+300.*Scale"),
        (sp.csr_matrix(np.where(X4 == 5, np.nan, X4)), Y4, "NaN"),
        (X4[0], Y4, "2D array"),
        (X4, Y4[:3], "inconsistent"),
        (X4, np.array([0.5, 1.5, 2.5, 3.5]), "continuous"),
        (X4, np.array([0, 1, np.nan, 1]), "NaN"),
        (X4, np.array([[0, 1], [2, 1], [0, 2], [1, 1]]), "multilabel indicator"),
        (X4[:0], Y4[:0], "0 sample"),
        (X4[:, :0], Y4, "0 feature"),
        (X4 + 1j, Y4, "[Cc]omplex"),
        (np.full((4, 3), "a"), Y4, "strings"),
    ],
)
def test_bad_data_gets_a_clear_error_and_leaves_nothing(X, y, message):
    clf = HardL0MLPClassifier(max_iter=2)
    with pytest.raises((ValueError, TypeError), match=message):
        clf.fit(X, y)
    assert vars(clf) == vars(HardL0MLPClassifier(max_iter=2))


def test_a_failed_fit_leaves_the_last_model_as_it_was(digits):
    clf = HardL0MLPClassifier(max_iter=3, random_state=0).fit(*digits)
    before = pickle.dumps(clf)
    with pytest.raises(ValueError, match="label"):
        clf.fit(np.ones((5, 3)), np.linspace(0.1, 0.9, 5))
    assert pickle.dumps(clf) == before


@going_back
@pytest.mark.parametrize("warm_start", [False, True])
def test_a_diverging_loss_names_the_remedy_and_leaves_nothing_half_done(digits, warm_start):
    X, y = digits
    clf = HardL0MLPClassifier(max_iter=3, warm_start=warm_start, random_state=0).fit(X, y)
    before, attributes = copy.deepcopy(clf), set(vars(clf))
    with pytest.raises(ValueError, match=r"not finite.*StandardScaler.*learning_rate_init"):
        clf.fit(X * np.float32(1e30), y)
    assert same_network(clf, before)
    assert set(vars(clf)) == attributes
    if warm_start:
        assert same_network(clf.fit(X, y), before.fit(X, y))


@going_back
@pytest.mark.parametrize("batch_size", [1, 32])
@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_no_activation_hides_a_sum_that_overflows_in_training(activation, batch_size):
    """Of so many terms of either sign some sums are too large, at the end or on the way."""
    signs = np.random.default_rng(0).choice([-1, 1], size=(64, 101))
    clf = HardL0MLPClassifier(
        (200,), activation=activation, pruning="none", max_iter=1, batch_size=batch_size,
        random_state=0,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"not finite.*StandardScaler"):
        clf.fit(signs * np.finfo(np.float32).max, signs.sum(axis=1) > 0)


@pytest.mark.parametrize("n_rows", [1, 40])
def test_no_activation_hides_a_sum_that_overflows_in_a_prediction(n_rows):
    """Also where numbers are moderate, and weights are not."""
    X = np.full((40, 1001), 1e7, np.float32)
    clf = HardL0MLPClassifier((1,), activation="tanh", pruning="none", max_iter=1)
    clf.fit(np.eye(40, 1001), np.arange(40) % 2)
    weights = np.where(np.arange(1001) < 500, 3e31, -3e31).astype(np.float32)
    clf.coefs_ = [weights[:, None], np.ones((1, 1), np.float32)]
    clf.intercepts_ = [np.zeros(1, np.float32)] * 2
    found = clf.predict_proba(X[:n_rows])[:, 1]
    np.testing.assert_allclose(found, 1 / (1 + np.e), rtol=1e-5)


@going_back
@pytest.mark.parametrize("settings", [{"lam": 0.3}, {"target_size": 0.5}, {"pruning": "none"}])
def test_a_diverging_loss_blames_a_price_only_where_one_was_given(digits, settings):
    X, y = digits
    with pytest.raises(ValueError, match="not finite") as caught:
        HardL0MLPClassifier(max_iter=3, **settings).fit(X * np.float32(1e30), y)
    assert ("lam=0.3, alpha" in str(caught.value)) == ("lam" in settings)
    assert "lam=0," not in str(caught.value)


@going_back
@pytest.mark.parametrize("max_iter", range(1, 9))
def test_a_network_that_is_not_finite_is_never_returned(digits, max_iter):
    X, y = digits[0] * np.float32(1000), digits[1]
    for rate in (1.0, 1e2, 1e6):
        clf = HardL0MLPClassifier(
            pruning="none", solver="sgd", max_iter=max_iter, learning_rate_init=rate
        )
        try:
            clf.fit(X, y)
        except ValueError as error:
            if "The training loss" not in str(error):
                raise
        else:
            assert np.isfinite(clf.loss_)
            assert all(np.isfinite(coef).all() for coef in clf.coefs_)


@eagerly
@pytest.mark.parametrize("watch", [sys.setprofile, sys.settrace])
def test_buffers_shrink_under_a_profiler_and_a_debugger(digits, watch):
    getter = {sys.setprofile: sys.getprofile, sys.settrace: sys.gettrace}[watch]
    before = getter()
    watch(lambda *_: None)
    try:
        clf = HardL0MLPClassifier(**EAGER | {"max_iter": 10}).fit(*digits)
    finally:
        watch(before)
    assert clf.n_parameters_ < 7510


def test_numpy_scalars_as_parameters_train_the_same_network(digits):
    names = ("lam", "alpha", "tol", "learning_rate_init", "epsilon", "momentum", "beta_1")
    defaults = {**HardL0MLPClassifier().get_params(), "lam": 0.1}
    models = [
        HardL0MLPClassifier(
            max_iter=number(2),
            nesterovs_momentum=flag(True),
            random_state=0,
            **{name: real(np.float32(defaults[name])) for name in names},
        ).fit(*digits)
        for number, flag, real in ((np.int16, np.bool_, np.float32), (int, bool, float))
    ]
    assert same_network(*models)


#: Real parameters, as fractions that floats hold exactly.
FRACTIONS = {
    "alpha": Fraction(1, 1024),
    "learning_rate_init": Fraction(1, 128),
    "power_t": Fraction(1, 4),
    "tol": Fraction(1, 8),
    "momentum": Fraction(3, 4),
    "validation_fraction": Fraction(1, 4),
    "beta_1": Fraction(7, 8),
    "beta_2": Fraction(127, 128),
    "epsilon": Fraction(1, 2**20),
    "input_price": Fraction(3, 2),
    "finetune_fraction": Fraction(1, 4),
    "prune_threshold": Fraction(3, 8),
    "gate_learning_rate_init": Fraction(1, 32),
    "droprate_init": Fraction(3, 8),
    "label_smoothing": Fraction(1, 16),
}


@pytest.mark.parametrize(
    "more",
    [
        {"target_size": Fraction(3, 4)},
        {"lam": Fraction(1, 8), "solver": "sgd", "learning_rate": "invscaling"},
        {"target_size": 20, "class_weight": {0: Fraction(1, 3), 1: Fraction(4, 3)}},
    ],
)
def test_real_parameters_take_fractions(more, tmp_path):
    y = np.arange(60) % 2
    weights = [Fraction(k, 8) for k in range(60)]

    def with_reals(as_real, X_val=X_ONE):
        reals = {
            name: as_real(value) if isinstance(value, Fraction) else value
            for name, value in (FRACTIONS | more).items()
        }
        clf = HardL0MLPClassifier((5,), max_iter=8, early_stopping=True, random_state=0, **reals)
        fitted = clf.set_params(checkpoint_dir=tmp_path).fit(X_ONE, y, sample_weight=weights)
        return fitted, clone(clf).partial_fit(X_ONE, y, classes=[0, 1])

    for some, same in zip(with_reals(Fraction), with_reals(float), strict=True):
        assert same_network(some, same)
        assert some.loss_curve_ == same.loss_curve_


def test_every_real_parameter_is_known_to_take_fractions():
    known = {*FRACTIONS, "lam", "target_size"}
    assert known == {
        name
        for name, parameter in inspect.signature(HardL0MLPClassifier).parameters.items()
        if "float" in str(parameter.annotation) and name not in ("scoring", "class_weight")
    }


def test_warnings_point_at_the_line_that_called_fit(digits):
    clf = HardL0MLPClassifier(max_iter=2, lam=0.1)
    with pytest.warns(ConvergenceWarning) as caught:
        clf.fit(*digits)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="starts afresh") as caught:
        clf.set_params(warm_start=True).fit(*digits)
    assert caught[0].filename == __file__


def test_warm_start_keeps_its_patience(digits):
    clf = HardL0MLPClassifier(
        pruning="none", warm_start=True, tol=10.0, n_iter_no_change=7, max_iter=5
    )
    assert [clf.fit(*digits).n_iter_ for _ in range(2)] == [5, 4]


def test_predict_refuses_more_features_and_an_unfitted_model(digits):
    with pytest.raises(NotFittedError):
        HardL0MLPClassifier().predict(digits[0])
    clf = HardL0MLPClassifier(max_iter=2).fit(*digits)
    with pytest.raises(ValueError, match=re.escape("X has 65 features")):
        clf.predict(np.ones((2, 65)))
    with pytest.raises(ValueError, match="NaN"):
        clf.predict(np.full((1, 64), np.nan))


def test_the_docstring_example_is_true():
    assert n_failed(HardL0MLPClassifier) == 0
