"""`HardL0MLPClassifier` as its users meet it: fitted attributes, inputs, targets, errors."""

import copy
import doctest
import pickle
import re
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastl0.classifier
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
    ]
)
def test_scikit_learn_checks(estimator, check):
    if "sample_weight_equivalence" in str(check):
        # In mini-batches neither is MLPClassifier; these are scikit-learn's own settings for
        # MLPRegressor, and all rows are one mini-batch. (Other checks share the estimator.)
        estimator = clone(estimator).set_params(
            pruning="none", solver="sgd", tol=1e-2, random_state=42
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
        clf = HardL0MLPClassifier(max_iter=13, tol=10.0, n_iter_no_change=1, **target).fit(*digits)
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
    assert parts.n_iter_ == 20
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
        ({"batch_size": 5}, r"batch_size.*at most the 4.*got 5.*auto"),
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
        (X4, np.zeros(4), r"at least 2 classes, got 1 class"),
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
    with pytest.raises(ValueError, match="class"):
        clf.fit(np.ones((5, 3)), np.zeros(5))
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


def test_numpy_scalars_as_parameters_compile_nothing_anew(digits):
    from fastl0.epoch import train_batches

    HardL0MLPClassifier(max_iter=1).fit(*digits)
    n_compiled = len(train_batches.signatures)
    names = ("lam", "alpha", "tol", "learning_rate_init", "epsilon", "momentum", "beta_1")
    defaults = HardL0MLPClassifier().get_params()
    settings = {name: np.float32({**defaults, "lam": 0.1}[name]) for name in names}
    HardL0MLPClassifier(max_iter=np.int16(1), nesterovs_momentum=np.bool_(True), **settings).fit(
        *digits
    )
    assert len(train_batches.signatures) == n_compiled


def test_kernels_compile_without_a_folder_for_their_cache(tmp_path):
    code = (
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "import numpy as np\n"
        "from fastl0.jit import kernel\n"
        "@kernel\n"
        "def double(x):\n"
        "    return 2 * x\n"
        "assert double(4) == 8\n"
    )
    path = tmp_path / "uncached.py"
    path.write_text(code)
    subprocess.run([sys.executable, str(path)], check=True)


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
    assert [clf.fit(*digits).n_iter_ for _ in range(2)] == [5, 9]


def test_predict_refuses_more_features_and_an_unfitted_model(digits):
    with pytest.raises(NotFittedError):
        HardL0MLPClassifier().predict(digits[0])
    clf = HardL0MLPClassifier(max_iter=2).fit(*digits)
    with pytest.raises(ValueError, match=re.escape("X has 65 features")):
        clf.predict(np.ones((2, 65)))
    with pytest.raises(ValueError, match="NaN"):
        clf.predict(np.full((1, 64), np.nan))


def test_the_docstring_example_is_true():
    assert doctest.testmod(fastl0.classifier).failed == 0
