"""scikit-learn's diagram of an estimator: a caption says how small the network is."""

import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_regression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor
from fastl0.estimators.html_repr import caption

SETTINGS = {"hidden_layer_sizes": (20,), "max_iter": 10, "target_size": 0.3, "random_state": 0}


def captions(estimator):
    return re.findall(r'<div class="caption">(.*?)</div>', estimator_html_repr(estimator))


@pytest.fixture(scope="module")
def fitted(digits):
    return HardL0MLPClassifier(**SETTINGS).fit(*digits)


def test_an_unfitted_estimator_looks_as_any_other():
    assert captions(HardL0MLPClassifier()) == captions(LogisticRegression()) == []


def test_units_parameters_and_bytes_are_told(fitted):
    n_inputs, n_hidden, _ = fitted.n_units_
    assert n_inputs < 64
    assert n_hidden < 20
    n_bytes = 4 * fitted.n_parameters_
    assert caption(fitted) == (
        f"units 64 \N{RIGHTWARDS ARROW} {n_inputs}, 20 \N{RIGHTWARDS ARROW} {n_hidden}, 10; "
        f"{fitted.n_parameters_:,} of 1,510 parameters, {n_bytes / 1024:.1f} KiB of weights and "
        "biases"
    )
    assert captions(fitted) == [caption(fitted)]
    assert fitted._repr_html_() is not None
    assert "text/html" in fitted._repr_mimebundle_()


def test_the_regressor_tells_as_much():
    X, y = make_regression(200, 10, random_state=0)
    reg = HardL0MLPRegressor(**SETTINGS).fit(X, y)
    (text,) = captions(reg)
    assert f"{reg.n_parameters_} of 241 parameters, {4 * reg.n_parameters_} bytes" in text


def test_widths_that_have_not_changed_are_told_once(digits):
    clf = HardL0MLPClassifier((20,), target_size=1.0, max_iter=2).fit(*digits)
    assert caption(clf) == "units 64, 20, 10; 1,510 parameters, 5.9 KiB of weights and biases"


def test_in_a_pipeline_and_a_search(digits):
    pipeline = make_pipeline(StandardScaler(), HardL0MLPClassifier(**SETTINGS))
    assert captions(pipeline) == []
    pipeline.fit(*digits)
    assert captions(pipeline) == [caption(pipeline[-1])]
    search = GridSearchCV(HardL0MLPClassifier(**SETTINGS), {"alpha": [0.1]}, cv=2).fit(*digits)
    assert captions(search) == [caption(search.best_estimator_)]


def test_a_stream_is_described(digits):
    clf = HardL0MLPClassifier((20,)).partial_fit(*digits, classes=range(10))
    assert captions(clf) == [caption(clf)]
    clf.partial_fit(*digits)
    assert str(clf.n_parameters_) in captions(clf)[0].replace(",", "")


@pytest.mark.parametrize("hidden", [(30, 20), (3,), (0,)])
def test_parameters_set_after_the_fit_are_no_matter(fitted, digits, hidden):
    other = clone(fitted).fit(*digits)
    other.hidden_layer_sizes = hidden
    units = ", ".join(map(str, other.n_units_))
    assert caption(other).startswith(f"units {units}; {other.n_parameters_:,} parameters")


def test_names_are_escaped(digits):
    name = "<script>alert('x')</script>"
    names = np.array([f"{name}{k}" for k in range(64)], dtype=object)
    kind = type(name, (HardL0MLPClassifier,), {})
    clf = kind(**SETTINGS).fit(*digits)
    clf.feature_names_in_ = names
    assert name not in estimator_html_repr(clf)
    assert name not in estimator_html_repr(make_pipeline(StandardScaler(), clf))


def test_a_diagram_is_drawn_even_if_the_network_cannot_be_described(fitted, digits):
    broken = clone(fitted).fit(*digits)
    broken.n_units_ = None
    assert captions(make_pipeline(StandardScaler(), broken)) == []
    assert "HardL0MLPClassifier" in estimator_html_repr(broken)
