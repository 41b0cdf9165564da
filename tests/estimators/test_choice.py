"""Settings that are left to "auto", and are chosen by rows that are held out."""

import logging
import pickle

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.model_selection import GridSearchCV

from fastl0 import HardL0MLPClassifier, HardL0MLPClassifierCV, HardL0MLPRegressor, l0_path
from fastl0.estimators import choice
from fastl0.estimators.choice import SETTINGS, _smallest_of_the_best

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

OPEN = {"alpha": "auto", "encoding": "auto"}
SETTINGS_OF_TESTS = {"hidden_layer_sizes": (20,), "max_iter": 12, "random_state": 0}
CLASSIFIER = HardL0MLPClassifier(**SETTINGS_OF_TESTS, **OPEN, label_smoothing="auto")
REGRESSOR = HardL0MLPRegressor(**SETTINGS_OF_TESTS, **OPEN)


def noisy_rows(n_rows=300, seed=0):
    """Two inputs of twelve that matter, and labels of which every fifth is wrong."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 12))
    y = (X[:, 0] + X[:, 1] > 0) ^ (rng.random(n_rows) < 0.2)
    return X, y.astype(int)


X, LABELS = noisy_rows()
NUMBERS = X[:, 0] - X[:, 1] + np.random.default_rng(1).normal(size=300)
FITS = [(CLASSIFIER, LABELS), (REGRESSOR, NUMBERS)]


def same_network(a, b):
    pairs = zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


def chosen(model):
    """What a fitted estimator tells of its settings, as parameters."""
    found = {"alpha": model.alpha_, "encoding": model.encoding_}
    if hasattr(model, "label_smoothing_"):
        found["label_smoothing"] = model.label_smoothing_
    return found


def size_of(found, estimator):
    """The size that goes with chosen settings."""
    names = [name for name in found if name in ("alpha", "encoding", "label_smoothing")]
    sizes = {
        setting.target_size
        for setting in SETTINGS
        if all(getattr(setting, name) == found[name] for name in names)
    }
    return sizes.pop() if len(sizes) == 1 else None


@pytest.mark.parametrize(("estimator", "y"), FITS)
def test_the_chosen_settings_when_given_train_the_same_network(estimator, y):
    model = clone(estimator).fit(X, y)
    found = chosen(model)
    assert any(all(getattr(s, n) == v for n, v in found.items()) for s in SETTINGS)
    given = clone(estimator).set_params(**found, target_size=size_of(found, model)).fit(X, y)
    assert same_network(model, given)
    assert model.get_params()["alpha"] == "auto"
    assert chosen(given) == found


def test_the_choice_is_the_best_of_its_trials(monkeypatch):
    tried = []
    original = choice.Choice._try

    def noting(self, candidate, *rest):
        losses, size = original(self, candidate, *rest)
        tried.append((candidate, losses, size))
        return losses, size

    monkeypatch.setattr(choice.Choice, "_try", noting)
    model = clone(CLASSIFIER).fit(X, LABELS)
    candidates = [dict(c) for k, (c, *_) in enumerate(tried) if c not in [t[0] for t in tried[:k]]]
    assert len(candidates) == len(SETTINGS)
    means = [
        np.mean(np.concatenate([own for c, own, _ in tried if c == candidate]))
        for candidate in candidates
    ]
    best = candidates[int(np.argmin(means))]
    found = chosen(model)
    if found != {name: best[name] for name in found}:  # a far smaller one was as good
        sizes = {tuple(c.values()): size for c, _, size in tried}
        own = next(c for c in candidates if all(c[name] == found[name] for name in found))
        assert 2 * sizes[tuple(own.values())] < sizes[tuple(best.values())]


def test_noise_calls_for_a_smoother_or_smaller_network():
    settings = {"max_iter": 100, "hidden_layer_sizes": (50,)}
    model = clone(CLASSIFIER).set_params(**settings).fit(X, LABELS)
    plain = HardL0MLPClassifier(random_state=0, **settings).fit(X, LABELS)
    X_test, y_test = noisy_rows(3000, seed=1)
    assert model.alpha_ > SETTINGS[0].alpha
    assert model.score(X_test, y_test) > plain.score(X_test, y_test) + 0.02


@pytest.mark.parametrize(
    ("losses", "sizes", "expected"),
    [
        ([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]], [1, 9, 1], 1),
        ([[1.0, 3.0, 1.0, 3.0], [1.0, 2.9, 1.0, 3.0]], [10, 30], 0),  # as good, and small
        ([[1.0, 3.0, 1.0, 3.0], [1.0, 2.9, 1.0, 3.0]], [10, 15], 1),  # not small enough
        ([[2.0, 2.0, 2.0], [1.0, 1.1, 1.0]], [1, 30], 1),
        ([[np.inf, 1.0], [5.0, 5.0]], [1, 9], 1),  # it diverged
        ([[np.inf], [np.nan]], [1, 1], 0),
    ],
)
def test_the_best_or_a_far_smaller_one_that_is_as_good(losses, sizes, expected):
    assert _smallest_of_the_best([np.array(own) for own in losses], sizes) == expected


# --- what is open ------------------------------------------------------------------------


def test_only_what_is_open_is_chosen():
    model = clone(CLASSIFIER).set_params(alpha=0.7).fit(X, LABELS)
    assert model.alpha_ == 0.7
    model = clone(CLASSIFIER).set_params(encoding="none").fit(X, LABELS)
    assert model.encoding_ == "none"
    assert model.parts_ is None
    model = clone(CLASSIFIER).set_params(label_smoothing=0.25).fit(X, LABELS)
    assert model.label_smoothing_ == 0.25


@pytest.mark.parametrize("size", [{"target_size": 40}, {"lam": 0.01}, {"pruning": "none"}], ids=str)
def test_a_size_or_price_that_is_given_stays(size):
    model = clone(CLASSIFIER).set_params(**size).fit(X, LABELS)
    if "target_size" in size:
        assert model.n_parameters_ <= 40
    found = chosen(model)
    assert same_network(model, clone(CLASSIFIER).set_params(**size, **found).fit(X, LABELS))


def test_without_anything_open_nothing_is_tried(monkeypatch):
    monkeypatch.setattr(choice.Choice, "choose", None)
    model = HardL0MLPClassifier(**SETTINGS_OF_TESTS).fit(X, LABELS)
    assert chosen(model) == {"alpha": 0.0001, "encoding": "none", "label_smoothing": 0.0}


@pytest.mark.parametrize("y", [np.arange(40) % 2, np.arange(300) // 299], ids=["few", "one"])
def test_where_nothing_can_be_tried_the_first_setting_is_taken(y):
    model = clone(CLASSIFIER).fit(X[: len(y)], y)
    assert chosen(model) == {n: getattr(SETTINGS[0], n) for n in chosen(model)}


def test_missing_values_leave_encodings_only():
    gaps = X.copy()
    gaps[::7, 3] = np.nan
    for form in (gaps, sp.csr_array(gaps), da.from_array(gaps, (60, 12))):
        model = clone(CLASSIFIER).fit(form, LABELS)
        assert model.encoding_ == "piecewise"
        assert np.isfinite(model.predict_proba(gaps)).all()


def test_a_network_without_an_encoding_refuses_missing_values():
    model = clone(CLASSIFIER)
    model = next(
        fitted
        for fitted in (clone(model).set_params(random_state=k).fit(X, LABELS) for k in range(9))
        if fitted.encoding_ == "none"
    )
    gaps = X.copy()
    gaps[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.predict(gaps)
    assert model.fit(gaps, LABELS).encoding_ == "piecewise"


# --- the rest ----------------------------------------------------------------------------


@pytest.mark.parametrize(("estimator", "y"), FITS)
def test_every_form_of_x_and_number_of_threads_chooses_the_same(estimator, y, monkeypatch):
    expected = clone(estimator).fit(X, y)
    monkeypatch.setattr("fastl0.estimators.build_config.usable_threads", lambda: 3)
    for form in (X, np.asfortranarray(X), da.from_array(X, (300, 12))):
        assert same_network(clone(estimator).fit(form, y), expected)


def test_rows_without_a_weight_are_none_of_the_trials():
    wrong = np.vstack([X, X + 100.0])
    weights = np.repeat([1.0, 0.0], 300)
    model = clone(CLASSIFIER).fit(wrong, np.r_[LABELS, 1 - LABELS], sample_weight=weights)
    assert np.isfinite(model.loss_)


def test_several_labels_and_outputs():
    Z, Y = make_multilabel_classification(120, 6, n_classes=3, random_state=0)
    assert clone(CLASSIFIER).fit(Z, Y).predict(Z).shape == (120, 3)
    assert clone(REGRESSOR).fit(Z, Y.astype(float)).predict(Z).shape == (120, 3)


def test_early_stopping_keeps_its_rows_out_of_the_trials(monkeypatch):
    seen = []
    original = choice.Choice._try

    def noting(self, candidate, seed, learn, judge):
        seen.extend([learn, judge])
        return original(self, candidate, seed, learn, judge)

    monkeypatch.setattr(choice.Choice, "_try", noting)
    clone(CLASSIFIER).set_params(early_stopping=True, validation_fraction=0.3).fit(X, LABELS)
    assert len(np.unique(np.concatenate(seen))) == 210


def test_a_warm_start_keeps_what_was_chosen(monkeypatch):
    model = clone(CLASSIFIER).set_params(warm_start=True).fit(X, LABELS)
    before = chosen(model)
    monkeypatch.setattr(choice.Choice, "choose", None)
    assert chosen(pickle.loads(pickle.dumps(model)).fit(X, LABELS)) == before


def test_a_warm_start_from_a_stream_keeps_its_values(monkeypatch):
    monkeypatch.setattr(choice.Choice, "choose", None)
    model = clone(REGRESSOR).set_params(warm_start=True).partial_fit(X, NUMBERS)
    before = chosen(model)
    assert chosen(model.fit(X, NUMBERS)) == before
    given = clone(REGRESSOR).set_params(warm_start=True, alpha=0.1, encoding="none")
    given.fit(X, NUMBERS).set_params(alpha="auto").fit(X, NUMBERS)
    assert given.alpha_ == 0.1


class Killed(Exception):
    """Ends a fit."""


def test_a_fit_that_was_killed_ends_as_if_nothing_had_happened(tmp_path):
    expected = clone(CLASSIFIER).fit(X, LABELS)
    model = clone(CLASSIFIER).set_params(checkpoint_dir=tmp_path)

    def kill(epoch, *_):
        if epoch == 5:
            raise Killed

    with pytest.raises(Killed):
        clone(model)._fit(X, LABELS, on_epoch=kill)
    assert same_network(clone(model).fit(X, LABELS), expected)


def test_what_is_chosen_is_said(caplog):
    with caplog.at_level(logging.INFO, logger="fastl0"):
        model = clone(CLASSIFIER).set_params(verbose=2).fit(X, LABELS)
    said = [message for message in caplog.messages if message.startswith("chosen of")]
    assert len(said) == 1
    assert f"alpha={model.alpha_}" in said[0]


def test_a_search_over_alpha_switches_its_choice_off():
    search = GridSearchCV(clone(CLASSIFIER), {"alpha": [0.01, 0.1]}, cv=2).fit(X, LABELS)
    assert search.best_estimator_.alpha_ in (0.01, 0.1)


def test_paths_and_searches_over_sizes_choose_what_is_open():
    path = l0_path(X, LABELS, target_sizes=[0.5, 0.2], estimator=CLASSIFIER)
    assert len({tuple(chosen(model).items()) for model in path.estimators}) == 1
    search = HardL0MLPClassifierCV(CLASSIFIER, target_sizes=[0.5, 0.2], cv=2).fit(X, LABELS)
    assert 0.5 < search.score(X, LABELS) <= 1.0


@pytest.mark.parametrize(("estimator", "y"), FITS)
def test_a_stream_takes_what_a_fit_has_chosen_or_the_first_setting(estimator, y):
    classes = {"classes": np.unique(y)} if y is LABELS else {}
    stream = clone(estimator).partial_fit(X[:50], y[:50], **classes)
    assert chosen(stream) == {name: getattr(SETTINGS[0], name) for name in chosen(stream)}
    given = clone(estimator).set_params(**chosen(stream)).partial_fit(X[:50], y[:50], **classes)
    assert same_network(stream, given)
    fitted = clone(estimator).fit(X, y)
    before = chosen(fitted)
    given = clone(estimator).set_params(**before, target_size=size_of(before, fitted)).fit(X, y)
    given.set_params(target_size=None)
    for model in (fitted, given):
        model.partial_fit(X[:1], y[:1]).partial_fit(X, y)
    assert chosen(fitted) == before
    assert same_network(fitted, given)
    assert chosen(pickle.loads(pickle.dumps(fitted))) == before


def test_a_stream_goes_on_with_what_is_set_meanwhile():
    model = clone(REGRESSOR).fit(X, NUMBERS).partial_fit(X, NUMBERS)
    model.set_params(alpha=0.5).partial_fit(X, NUMBERS)
    assert model.alpha_ == 0.5
    model.set_params(alpha="auto").partial_fit(X, NUMBERS)
    assert model.alpha_ in {setting.alpha for setting in SETTINGS}
