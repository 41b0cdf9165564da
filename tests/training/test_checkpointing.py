"""A fit that was killed and is repeated ends as if nothing had happened."""

import copy
import errno
import logging
import os
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor, l0_path
from fastl0.checkpoint import format
from fastl0.checkpoint.store import CheckpointError
from fastl0.data import blocks
from fastl0.estimators import build_config
from fastl0.training import batches

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
eagerly = pytest.mark.usefixtures("decided_each_epoch")


class KilledError(BaseException):
    """Stands for the end of the process."""


def killing(*epochs):
    """A hook that ends the fit after some epochs, each once."""
    left = set(epochs)

    def kill(epoch, freeze, entries):
        if epoch in left:
            left.remove(epoch)
            raise KilledError

    return kill


def model(**settings):
    defaults = {"hidden_layer_sizes": (30, 20), "max_iter": 12, "random_state": 0}
    return HardL0MLPClassifier(**defaults | settings)


def fit_killed(estimator, X, y, *epochs, **data):
    """Fit, killed after each of the epochs, until it gets through; say how often it began."""
    kill, n_fits = killing(*epochs), 0
    while True:
        n_fits += 1
        try:
            return estimator._fit(X, y, on_epoch=kill, **data), n_fits
        except KilledError:
            # As in a new process: nothing is left but the folder.
            estimator = copy.deepcopy(estimator)


def same(a, b):
    """Whether two values are the same, type by type and bit by bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def fitted_attributes(estimator):
    """Everything that fit has set, but for how long the epochs took."""
    names = set(vars(estimator)) - set(estimator.get_params()) - {"_warm_state"}
    found = {name: getattr(estimator, name) for name in names}
    times = {"epoch_time", "buffer_nbytes"}  # threads may be more or fewer
    history = {name: h for name, h in estimator.history_.items() if name not in times}
    return found | {"history_": history}


def assert_same(a, b):
    one, other = fitted_attributes(a), fitted_attributes(b)
    assert one.keys() == other.keys()
    assert [name for name in one if not same(one[name], other[name])] == []


def files_in(folder):
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


SETTINGS = {
    "by default": {},
    "by price": {"lam": 0.3, "hidden_layer_sizes": (50,), "gate_learning_rate_init": 0.1},
    "until it converges": {"lam": 0.3, "tol": 10.0, "n_iter_no_change": 1, "max_iter": 40},
    "bytes": {"target_size": "8KiB"},
    "early stopping": {"early_stopping": True},
    "early stopping at once": {"early_stopping": True, "lam": 0.1, "n_iter_no_change": 2},
    "dynamic": {"batch_size": "dynamic", "target_size": 0.05, "gate_learning_rate_init": 0.1},
    "sgd": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1, "lam": 0.1},
    "adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "lam": 0.0,
        "tol": 1.0,
        "n_iter_no_change": 1,
        "max_iter": 60,
        "learning_rate_init": 0.01,
    },
    "going back": {"solver": "sgd", "pruning": "none", "learning_rate_init": 10.0},
    "cosines": {"learning_rate": "cosine", "gate_learning_rate": "cosine"},
    "budget": {"memory_budget": "70KiB"},
    "soft": {"pruning": "soft"},
    "none": {"pruning": "none", "shuffle": False},
    "ungated inputs": {"gate_inputs": False, "penalty": "fan_out", "lam": 0.1},
    "tanh": {"activation": "tanh", "label_smoothing": 0.1, "class_weight": "balanced"},
}


@eagerly
@pytest.mark.filterwarnings("ignore:.*training goes back:RuntimeWarning")
@pytest.mark.parametrize("name", SETTINGS)
def test_a_killed_fit_ends_as_if_nothing_had_happened(name, digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y = digits
    # The folder's name is part of a model that has a size in bytes.
    folder = "folder" if name == "bytes" else None
    whole = model(**SETTINGS[name], checkpoint_dir=folder)._fit(X, y)
    last = whole.n_iter_ - 1
    kills = sorted({0, 1, last // 2, last * 3 // 4, last - 1})
    estimator = model(**SETTINGS[name], checkpoint_dir="folder")
    resumed, n_fits = fit_killed(estimator, X, y, *kills)
    assert n_fits == len(kills) + 1
    assert_same(resumed, whole)
    assert not files_in(tmp_path)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_a_killed_fit_of_a_regressor_with_weights_and_validation_rows(loss, digits, tmp_path):
    X, y = digits
    data = {
        "sample_weight": np.linspace(0.0, 2.0, 500),
        "validation": (X[500:], y[500:], np.ones(100)),
    }
    settings = {"hidden_layer_sizes": (20,), "max_iter": 10, "loss": loss, "random_state": 0}
    settings |= {"early_stopping": True, "scoring": "neg_mean_absolute_error"}
    whole = HardL0MLPRegressor(**settings)._fit(X[:500], y[:500], **data)
    estimator = HardL0MLPRegressor(**settings, checkpoint_dir=tmp_path)
    resumed, n_fits = fit_killed(estimator, X[:500], y[:500], 2, 6, **data)
    assert n_fits == 3
    assert_same(resumed, whole)


def memory_mapped(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


class Lazy:
    """Rows that are read by blocks."""

    def __init__(self, X, folder):
        self.X, self.shape, self.dtype = X, X.shape, X.dtype

    def __getitem__(self, rows):
        return self.X[rows]


@pytest.mark.parametrize("form", [lambda X, folder: sp.csr_matrix(X), memory_mapped, Lazy])
def test_a_killed_fit_to_rows_of_any_form(form, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "AT_ONCE", 2**14)
    monkeypatch.setattr(batches, "WINDOW_NBYTES", 2**16)
    X, y = form(digits[0], tmp_path), digits[1]
    whole = model(max_iter=5)._fit(X, y)
    resumed, n_fits = fit_killed(model(max_iter=5, checkpoint_dir=tmp_path), X, y, 1, 3)
    assert n_fits == 3
    assert_same(resumed, whole)


def test_a_killed_fit_with_many_labels(digits, tmp_path):
    X, y = digits[0], (digits[1][:, None] >= [3, 5, 7]).astype(int)
    whole = model(max_iter=5, early_stopping=True)._fit(X, y)
    estimator = model(max_iter=5, early_stopping=True, checkpoint_dir=tmp_path)
    resumed, _ = fit_killed(estimator, X, y, 1, 3)
    assert_same(resumed, whole)


@pytest.mark.parametrize("settings", [{}, {"batch_size": "dynamic"}])
def test_the_number_of_threads_may_change(settings, digits, tmp_path, monkeypatch):
    X, y = digits
    monkeypatch.setattr(build_config, "usable_threads", lambda: 1)
    whole = model(**settings)._fit(X, y)
    own = killed(digits, tmp_path, epoch=4, **settings)
    monkeypatch.setattr(build_config, "usable_threads", lambda: 3)
    assert_same(model(**settings, checkpoint_dir=tmp_path)._fit(X, y), whole)
    assert not own.exists()


# --- randomness --------------------------------------------------------------------------


def test_a_fit_without_a_seed_goes_on_with_its_own_numbers(digits, tmp_path):
    """The rows set aside are the same, too: the seeds come out of NumPy's global generator."""
    X, y = digits
    settings = {"random_state": None, "early_stopping": True, "max_iter": 8}
    np.random.seed(7)  # noqa: NPY002 (what random_state=None stands for)
    whole = model(**settings, checkpoint_dir=tmp_path / "one")._fit(X, y)
    np.random.seed(7)  # noqa: NPY002
    estimator = model(**settings, checkpoint_dir=tmp_path / "two")
    with pytest.raises(KilledError):
        estimator._fit(X, y, on_epoch=killing(3))
    np.random.seed(8)  # noqa: NPY002
    resumed, n_fits = fit_killed(estimator, X, y, 5)
    assert n_fits == 2
    assert_same(resumed, whole)


def test_a_fit_without_a_seed_is_random_as_ever_once_it_is_over(digits, tmp_path):
    a, b = (model(random_state=None, checkpoint_dir=tmp_path, max_iter=2) for _ in range(2))
    assert not same(a._fit(*digits).coefs_, b._fit(*digits).coefs_)


def test_a_generator_as_seed_is_told_apart_by_its_state(digits, tmp_path):
    settings = {"max_iter": 4, "checkpoint_dir": tmp_path}
    whole = model(max_iter=4, random_state=np.random.RandomState(3))._fit(*digits)
    for seed, n_folders in ((3, 1), (4, 2)):
        estimator = model(**settings, random_state=np.random.RandomState(seed))
        with pytest.raises(KilledError):
            estimator._fit(*digits, on_epoch=killing(1))
        assert len(list(tmp_path.iterdir())) == n_folders
    resumed = model(**settings, random_state=np.random.RandomState(3))._fit(*digits)
    assert_same(resumed, whole)


# --- warm starts -------------------------------------------------------------------------


@eagerly
@pytest.mark.parametrize("settings", [{}, {"lam": 0.2, "early_stopping": True}])
def test_a_warm_start_that_was_killed_goes_on_from_where_it_was(settings, digits, tmp_path):
    X, y = digits
    settings = {"warm_start": True, "max_iter": 6, **settings}
    whole = model(**settings)._fit(X, y)
    whole.set_params(lam=0.3, target_size=None)._fit(X, y)
    estimator = model(**settings, checkpoint_dir=tmp_path)._fit(X, y)
    estimator.set_params(lam=0.3, target_size=None)
    resumed, n_fits = fit_killed(estimator, X, y, 6, 8, 10)
    assert n_fits == 4
    assert_same(resumed, whole)
    # And so does the next one.
    assert_same(resumed._fit(X, y), whole._fit(X, y))


def test_a_warm_start_from_another_state_is_another_fit(digits, tmp_path):
    X, y = digits
    estimator = model(warm_start=True, max_iter=3, checkpoint_dir=tmp_path)._fit(X, y)
    other = copy.deepcopy(estimator)._fit(X, y)
    for one in (estimator, other):
        with pytest.raises(KilledError):
            one._fit(X, y, on_epoch=killing(len(one.loss_curve_) + 1))
    assert len(list(tmp_path.iterdir())) == 2


# --- whose checkpoint it is --------------------------------------------------------------


def killed(digits, folder, epoch=3, **settings):
    """Leave what a fit that was killed leaves; return its folder."""
    before = set(folder.glob("*"))
    X, y = digits
    with pytest.raises(KilledError):
        model(**settings, checkpoint_dir=folder)._fit(X, y, on_epoch=killing(epoch))
    (own,) = set(folder.glob("*")) - before
    return own


@pytest.mark.parametrize(
    "settings",
    [{"lam": 0.1}, {"max_iter": 11}, {"random_state": 1}, {"hidden_layer_sizes": (30, 21)}],
)
def test_a_fit_with_other_settings_begins_anew_and_leaves_the_checkpoint_alone(
    settings, digits, tmp_path
):
    own = killed(digits, tmp_path)
    before = files_in(own)
    other = model(**settings, checkpoint_dir=tmp_path)._fit(*digits)
    assert_same(other, model(**settings)._fit(*digits))
    assert files_in(own) == before
    assert_same(model(checkpoint_dir=tmp_path)._fit(*digits), model()._fit(*digits))


@pytest.mark.parametrize(
    "change",
    [
        lambda X, y: (X + np.float32(1), y),
        lambda X, y: (X.astype(float), y),
        lambda X, y: (X[:-1], y[:-1]),
        lambda X, y: (X, np.roll(y, 1)),
    ],
)
def test_a_fit_to_other_data_begins_anew(change, digits, tmp_path):
    own = killed(digits, tmp_path)
    X, y = change(*digits)
    assert_same(model(checkpoint_dir=tmp_path)._fit(X, y), model()._fit(X, y))
    assert files_in(own)


def test_what_no_result_depends_on_may_differ(digits, tmp_path, caplog):
    own = killed(digits, tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    settings = {"verbose": True, "checkpoint_interval": 5}
    with caplog.at_level(logging.INFO, "fastl0"):
        resumed = model(**settings, checkpoint_dir=str(tmp_path / "there"))._fit(*digits)
    assert_same(resumed, model()._fit(*digits))
    assert files_in(own)
    assert not files_in(tmp_path / "there")
    # What is shown begins where the fit does.
    shown = [record.getMessage() for record in caplog.records if "at most" in record.getMessage()]
    assert shown[0].startswith("epoch 4 of at most 12: ")


def test_a_checkpoint_put_in_the_place_of_another_says_what_differs(digits, tmp_path):
    own, other = killed(digits, tmp_path), killed(digits, tmp_path, lam=0.1)
    for path in own.glob("epoch-*"):
        path.unlink()
        shutil.copy(other / path.name, path)
    with pytest.raises(CheckpointError, match=r"another run: lam=0.1 there and None here"):
        model(checkpoint_dir=tmp_path)._fit(*digits)


def test_fits_of_a_search_share_a_folder(digits, tmp_path):
    X, y = digits
    search = GridSearchCV(
        model(max_iter=3, checkpoint_dir=tmp_path), {"lam": [0.1, 0.2]}, cv=2, n_jobs=2
    )
    plain = GridSearchCV(model(max_iter=3), {"lam": [0.1, 0.2]}, cv=2)
    with warnings.catch_warnings():  # workers are processes
        warnings.simplefilter("ignore")
        search.fit(X, y)
        plain.fit(X, y)
    for name in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(search.cv_results_[name], plain.cv_results_[name])
    assert_same(search.best_estimator_, plain.best_estimator_)
    assert not files_in(tmp_path)


def test_a_path_that_was_killed_has_its_networks_all_the_same(digits, tmp_path, monkeypatch):
    sizes = [0.5, 0.2]
    whole = l0_path(*digits, target_sizes=sizes, estimator=model(max_iter=6))
    original, n_saved = format.write, []

    def killing_write(file, state):
        original(file, state)
        n_saved.append(file)
        if len(n_saved) == 7:  # in the second size
            raise KilledError

    monkeypatch.setattr(format, "write", killing_write)
    estimator = model(max_iter=6, checkpoint_dir=tmp_path)
    with pytest.raises(KilledError):
        l0_path(*digits, target_sizes=sizes, estimator=estimator)
    assert files_in(tmp_path)
    path = l0_path(*digits, target_sizes=sizes, estimator=estimator)
    for a, b in zip(path.estimators, whole.estimators, strict=True):
        assert_same(a, b)
    assert not files_in(tmp_path)


# --- what becomes of checkpoints ---------------------------------------------------------


def test_a_fit_that_is_over_leaves_nothing_and_the_next_one_trains_anew(digits, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    seen = []
    estimator = model(max_iter=4, checkpoint_dir=tmp_path)
    for _ in range(2):
        estimator._fit(*digits, on_epoch=lambda epoch, *_: seen.append(epoch))
        assert files_in(tmp_path) == ["mine.txt"]
    assert seen == [0, 1, 2, 3] * 2


@pytest.mark.parametrize("interval", [1, 2, 5])
def test_checkpoints_are_written_from_time_to_time(interval, digits, tmp_path):
    left = []

    def note(epoch, freeze, entries):
        left.append([name for name in files_in(tmp_path) if name != "lock"])

    settings = {"checkpoint_dir": tmp_path, "checkpoint_interval": interval}
    model(**settings)._fit(*digits, on_epoch=note)
    for epoch, names in enumerate(left):
        due = [k for k in range(1, epoch + 1) if k % interval == 0][-2:]
        assert names == [f"epoch-{k:08d}.checkpoint" for k in due]


def test_a_folder_is_made_where_it_is_missing(digits, tmp_path):
    model(max_iter=2, checkpoint_dir=str(tmp_path / "a" / "b"))._fit(*digits)
    assert (tmp_path / "a" / "b").is_dir()


@pytest.mark.parametrize("folder", ["~/kept", Path("~/kept")])
def test_a_tilde_is_the_home_of_the_user(digits, tmp_path, monkeypatch, folder):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    estimator = model(max_iter=2, checkpoint_dir=folder)
    with pytest.raises(KilledError):
        estimator._fit(*digits, on_epoch=killing(1))
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert len(list((tmp_path / "home" / "kept").iterdir())) == 1
    assert estimator.checkpoint_dir == folder


def test_a_home_that_is_not_there_is_an_error(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"`checkpoint_dir`.*got '~nobody at all/x'.*Write"):
        model(checkpoint_dir="~nobody at all/x").fit(*digits)
    assert not list(tmp_path.iterdir())


def test_a_constant_that_was_killed_goes_on(digits, tmp_path):
    X, y = digits[0], np.zeros(len(digits[1]), int)
    whole = model(warm_start=True)._fit(X, y)
    resumed, n_fits = fit_killed(model(warm_start=True, checkpoint_dir=tmp_path), X, y, 4, 7)
    assert n_fits == 3
    assert_same(resumed, whole)
    assert resumed.n_iter_ == 12
    assert resumed.predict_proba(X)[0].tolist() == [1.0, 0.0]


def test_names_of_columns_may_be_no_text(digits, tmp_path):
    """As those that were read by ``errors="surrogateescape"`` are; no UTF-8 can hold them."""
    names = pd.Index([f"\udc80 {k}" for k in range(64)], dtype=object)
    X, y = pd.DataFrame(digits[0], columns=names), digits[1]
    data = {"validation": (X[:50], pd.Series(y[:50], name="\udc80"), None)}
    whole = model(max_iter=6)._fit(X, y, **data)
    estimator = model(max_iter=6, checkpoint_dir=tmp_path)
    resumed, n_fits = fit_killed(estimator, X, y, 3, **data)
    assert n_fits == 2
    assert_same(resumed, whole)
    assert resumed.feature_names_in_.tolist() == names.tolist()


def test_after_an_interruption_a_fit_goes_on(digits, tmp_path):
    X, y = digits

    def interrupt(epoch, freeze, entries):
        if epoch == 3:
            raise KeyboardInterrupt

    estimator = model(checkpoint_dir=tmp_path)
    with pytest.warns(UserWarning, match="interrupted"):
        estimator._fit(X, y, on_epoch=interrupt, keep_interrupted=True)
    assert estimator.n_iter_ == 4
    assert files_in(tmp_path)
    seen = []
    estimator._fit(X, y, on_epoch=lambda epoch, *_: seen.append(epoch))
    assert seen[0] == 3
    assert_same(estimator, model()._fit(X, y))


def test_a_fit_that_goes_on_says_so(digits, tmp_path, caplog):
    killed(digits, tmp_path)
    assert not caplog.records
    with caplog.at_level(logging.INFO, "fastl0"):
        model(checkpoint_dir=tmp_path)._fit(*digits)
    (record,) = caplog.records
    assert "goes on after epoch 3 of a fit that was interrupted" in record.getMessage()


def test_parameters_are_checked_and_kept_like_others(tmp_path):
    estimator = model(checkpoint_dir=tmp_path, checkpoint_interval=3)
    assert clone(estimator).get_params() == estimator.get_params()
    assert pickle.loads(pickle.dumps(estimator)).get_params() == estimator.get_params()
    for settings in ({"checkpoint_dir": 3}, {"checkpoint_interval": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            model(**settings).fit(np.eye(4), [0, 1, 0, 1])


def test_a_folder_that_cannot_be_written_to_is_an_error_before_training(digits, tmp_path):
    (tmp_path / "file").write_text("mine")
    estimator = model(checkpoint_dir=tmp_path / "file")
    with pytest.raises(CheckpointError, match="`checkpoint_dir` must be a folder"):
        estimator._fit(*digits, on_epoch=lambda *_: pytest.fail("it trains"))
    assert not hasattr(estimator, "n_features_in_")


# --- what goes wrong ---------------------------------------------------------------------


def test_a_full_disk_costs_checkpoints_and_nothing_else(digits, tmp_path, monkeypatch):
    X, y = digits
    fsync, n_calls = os.fsync, []

    def full_for_a_while(descriptor):
        n_calls.append(descriptor)
        if 8 < len(n_calls) <= 11:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_for_a_while)
    left = []

    def note(epoch, freeze, entries):
        left.append([name for name in files_in(tmp_path) if name != "lock"])

    with pytest.warns(RuntimeWarning, match=r"epoch \d could not be written.*No space") as caught:
        estimator = model(checkpoint_dir=tmp_path)._fit(X, y, on_epoch=note)
    assert sum(issubclass(w.category, RuntimeWarning) for w in caught) == 3
    assert caught[0].filename == __file__
    assert_same(estimator, model()._fit(X, y))
    # Two calls a checkpoint: four are written, then three are not.
    last_good = ["epoch-00000003.checkpoint", "epoch-00000004.checkpoint"]
    assert left[4:8] == [last_good] * 4
    assert left[8] == ["epoch-00000004.checkpoint", "epoch-00000008.checkpoint"]


def test_a_torn_checkpoint_gives_way_to_the_one_before(digits, tmp_path):
    own = killed(digits, tmp_path, epoch=5)
    newest = max(own.glob("epoch-*"))
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(RuntimeWarning, match=r"00000005.*cut off.*goes on from the one before"):
        resumed = model(checkpoint_dir=tmp_path)._fit(*digits)
    assert_same(resumed, model()._fit(*digits))


def test_where_all_are_torn_it_is_an_error_and_they_stay(digits, tmp_path):
    own = killed(digits, tmp_path, epoch=5)
    for path in own.glob("epoch-*"):
        path.write_bytes(b"")
    before = files_in(own)
    estimator = model(checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match="no earlier one"):
        estimator._fit(*digits)
    assert files_in(own) == before
    assert not hasattr(estimator, "n_features_in_")
    shutil.rmtree(own)
    assert_same(estimator._fit(*digits), model()._fit(*digits))


def another(value):
    return lambda state: value


UNSOUND = {
    "no state": ((), another(3)),
    "no trainer": (("trainer",), another(None)),
    "a seed that is none": (("seed",), another("a")),
    "a seed where there was none": (("seed",), another(3)),
    "more": ((), lambda state: state | {"more": 1}),
    "no number": (("trainer", "number"), another(0)),
    "too late": (("trainer", "number"), another(12)),
    "more epochs than there were": (("trainer", "number"), another(11)),
    "a rate above the first": (("trainer", "rate"), another(1.0)),
    "no size controller": (("trainer", "pruning", "size_controller"), another(None)),
    "huge draws": (("trainer", "gates", "n_draws"), another(2**70)),
    "an even increment": (("trainer", "random", "inc"), another(2)),
    "a late end": (("trainer", "phases", "end"), another(13)),
    "columns out of range": (("trainer", "buffers", "columns"), lambda columns: columns + 1),
    "gates": (("trainer", "buffers", "gated"), lambda gated: ~gated),
    "a large batch": (("trainer", "buffers", "batch_size"), another(2**40)),
    "epochs": (("trainer", "history", "epochs", "n_units"), lambda units: units + 100),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_an_unsound_state_is_refused_before_training(name, digits, tmp_path):
    own = killed(digits, tmp_path, epoch=5)
    way, change = UNSOUND[name]
    for path in own.glob("epoch-*"):
        saved = format.read(path)
        place, last = saved, "state"
        for key in way:
            place, last = place[last], key
        place[last] = change(place[last])
        with open(path, "wb") as file:
            format.write(file, saved)
    estimator = model(checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match=r"cannot be used: .*Delete .* to train"):
        estimator._fit(*digits, on_epoch=lambda *_: pytest.fail("it trains"))
    assert not hasattr(estimator, "n_features_in_")


def test_a_fit_that_fails_keeps_its_checkpoints(digits, tmp_path):
    def fail(epoch, freeze, entries):
        if epoch == 3:
            raise RuntimeError("by a callback")

    with pytest.raises(RuntimeError, match="by a callback"):
        model(checkpoint_dir=tmp_path)._fit(*digits, on_epoch=fail)
    assert files_in(tmp_path)


def test_a_fit_that_goes_on_warns_as_one_that_was_not_killed(digits, tmp_path):
    settings = {"lam": 0.1, "max_iter": 6}
    killed(digits, tmp_path, **settings)
    estimator = model(**settings, checkpoint_dir=tmp_path)
    with pytest.warns(ConvergenceWarning, match="max_iter=6"):
        estimator._fit(*digits)
