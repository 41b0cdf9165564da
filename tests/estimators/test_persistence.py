"""Saving and loading: pickle, joblib, cloudpickle and skops give back the same estimator."""

import copy
import functools
import io
import pickle
import re
import subprocess
import sys
import tempfile

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import skops.io
from sklearn.base import clone
from sklearn.datasets import make_classification, make_multilabel_classification, make_regression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastl0 import (
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    HardL0MLPRegressor,
    HardL0MLPRegressorCV,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS = {"hidden_layer_sizes": (6, 4), "max_iter": 5, "random_state": 0}
CLASSES = make_classification(120, 8, random_state=0)
LABELS = make_multilabel_classification(120, 8, n_classes=3, random_state=0)
NUMBERS = make_regression(120, 8, n_targets=2, random_state=0)


def classifier(**settings):
    return HardL0MLPClassifier(**SETTINGS | settings)


def regressor(**settings):
    return HardL0MLPRegressor(**SETTINGS | settings)


def named_strings():
    X = pd.DataFrame(CLASSES[0], columns=[f"sensor {k}" for k in range(8)])
    return X, np.array(["fine", "faulty"])[CLASSES[1]]


def streamed(model, data, **keywords):
    for _ in range(3):
        model.partial_fit(*data, **keywords)
    return model


#: Fitted estimators by what is special of them, and the rows they predict.
MAKERS = {
    "binary": lambda: (classifier().fit(*CLASSES), CLASSES),
    "named": lambda: (classifier().fit(*named_strings()), named_strings()),
    "multilabel": lambda: (classifier().fit(*LABELS), LABELS),
    "sparse labels": lambda: (classifier().fit(LABELS[0], sp.csr_matrix(LABELS[1])), LABELS),
    "numbers": lambda: (regressor().fit(*NUMBERS), NUMBERS),
    "early stopping": lambda: (
        classifier(early_stopping=True, scoring="neg_log_loss", lam=0.1).fit(*CLASSES),
        CLASSES,
    ),
    "random state": lambda: (
        classifier(random_state=np.random.RandomState(0), class_weight={0: 1.0, 1: 2.0}).fit(
            *CLASSES
        ),
        CLASSES,
    ),
    "size in bytes": lambda: (classifier(target_size="200B").fit(*CLASSES), CLASSES),
    "soft": lambda: (classifier(pruning="soft").fit(*CLASSES), CLASSES),
    "search": lambda: (
        HardL0MLPClassifierCV(classifier(), target_sizes=[0.8, 0.5], cv=2).fit(*CLASSES),
        CLASSES,
    ),
    "search for numbers": lambda: (
        HardL0MLPRegressorCV(regressor(), target_sizes=[0.8, 0.5], cv=2).fit(*NUMBERS),
        NUMBERS,
    ),
    "pipeline": lambda: (make_pipeline(StandardScaler(), classifier()).fit(*CLASSES), CLASSES),
    "stream": lambda: (streamed(classifier(), CLASSES, classes=[0, 1]), CLASSES),
    "stream of numbers": lambda: (streamed(regressor(), NUMBERS), NUMBERS),
    "warm start": lambda: (classifier(warm_start=True).fit(*CLASSES), CLASSES),
}
#: Those that hold the state of a training, to go on with.
TRAINING = ("stream", "stream of numbers", "warm start")


def by_skops(model):
    """Save and load, with nothing trusted beside fastl0's own classes."""
    data = skops.io.dumps(model)
    untrusted = skops.io.get_untrusted_types(data=data)
    assert untrusted
    assert all(name.startswith("fastl0.") for name in untrusted)
    return skops.io.loads(data, trusted=untrusted)


def by_joblib(model):
    file = io.BytesIO()
    joblib.dump(model, file)
    file.seek(0)
    return joblib.load(file)


WAYS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "old pickle": lambda model: pickle.loads(pickle.dumps(model, protocol=2)),
    "cloudpickle": lambda model: cloudpickle.loads(cloudpickle.dumps(model)),
    "joblib": by_joblib,
    "skops": by_skops,
    "deepcopy": copy.deepcopy,
}


@functools.cache
def fitted(name):
    return MAKERS[name]()


def settings(model):
    """Parameters as text, without the addresses of objects."""
    return re.sub(r" at 0x[0-9A-Fa-f]+", "", str(model.get_params()))


def dense(labels):
    return labels.toarray() if sp.issparse(labels) else labels


def same(a, b):
    """Whether two fitted attributes are the same, types included."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MAKERS)
def test_what_is_loaded_is_what_was_saved(name, way):
    model, (X, _) = fitted(name)
    loaded = WAYS[way](model)
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(*(dense(one.predict(X)) for one in (loaded, model)))
    if hasattr(model, "predict_proba"):
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert settings(loaded) == settings(model)
    found = [key for key in vars(model) if key.endswith("_") and key != "best_estimator_"]
    assert set(found) <= set(vars(loaded))
    for key in found:
        if key != "steps":
            assert same(getattr(model, key), getattr(loaded, key)), key


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", TRAINING)
def test_training_goes_on_bit_for_bit_after_loading(name, way):
    model, data = fitted(name)
    model = copy.deepcopy(model)
    loaded = WAYS[way](model)
    for one in (model, loaded):
        one.fit(*data) if name == "warm start" else one.partial_fit(*data)
    for a, b in zip(model.coefs_, loaded.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", sorted(set(MAKERS) - set(TRAINING)))
def test_skops_has_to_trust_the_estimator_alone(name):
    """Without training state nothing but the public classes is there to be trusted."""
    data = skops.io.dumps(fitted(name)[0])
    public = {
        "fastl0.HardL0MLPClassifier",
        "fastl0.HardL0MLPRegressor",
        "fastl0.HardL0MLPClassifierCV",
        "fastl0.HardL0MLPRegressorCV",
    }
    assert set(skops.io.get_untrusted_types(data=data)) <= public


def test_what_a_warm_start_keeps_is_plain():
    """So a pickle of it names no class of the training, and loading it loads no training code."""
    model, _ = fitted("warm start")
    code = (
        "import pickle, sys; model = pickle.load(open(sys.argv[1], 'rb')); "
        "assert not {'numba', 'fastl0._kernels', 'fastl0.training.trainer'} & set(sys.modules)"
    )

    def is_plain(value):
        if isinstance(value, dict):
            return all(map(is_plain, value.values()))
        if isinstance(value, list | tuple):
            return all(map(is_plain, value))
        return value is None or type(value) in (bool, int, float, str, np.ndarray)

    assert is_plain(vars(model)["_warm_state"])
    with tempfile.NamedTemporaryFile() as file:
        file.write(pickle.dumps(model))
        file.flush()
        subprocess.run([sys.executable, "-c", code, file.name], check=True)


def test_skops_refuses_without_trust():
    from skops.io.exceptions import UntrustedTypesFoundException

    data = skops.io.dumps(fitted("binary")[0])
    with pytest.raises(UntrustedTypesFoundException, match="HardL0MLPClassifier"):
        skops.io.loads(data)


@pytest.mark.parametrize("name", MAKERS)
def test_a_clone_has_the_settings_and_nothing_else(name):
    model, data = fitted(name)
    other = clone(model)
    assert settings(other) == settings(model)
    assert not [key for key in vars(other) if key.endswith("_")]
    assert "_stream" not in vars(other)
    assert "_warm_state" not in vars(other)
    other.fit(*data)
