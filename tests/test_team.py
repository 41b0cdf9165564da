"""Teams at work in whole trainings: the same model bit for bit, and nobody left behind."""

import os
import signal
import subprocess
import sys
import threading
import time

import naive
import numpy as np
import problems
import pytest
import scipy.sparse as sp
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV
from team_state import PATIENCE, shared_by, wait_for

from fastl0 import HardL0MLPClassifier
from fastl0.estimators import build_config
from fastl0.kernel_api.tiles import MAX_TILE_ROWS as TILE_ROWS
from fastl0.training import epoch_runner, trainer
from fastl0.training.kernels import train_batches

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("decided_each_epoch"),
    # Forking beside threads is what is tested.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

TEAMS = [2, 3, 5]
SETTINGS = {
    "hidden_layer_sizes": (30, 20),
    "batch_size": 50,
    "max_iter": 4,
    "n_iter_no_change": 4,
    "learning_rate_init": 0.01,
    "gate_learning_rate_init": 0.3,
    "lam": 1.0,
    "penalty": "fan_out",
    "finetune_fraction": 0.0,
    "random_state": 0,
}
#: Prunes to a size, then trains on without gates; mini-batches grow.
TO_A_SIZE = {
    "lam": None,
    "target_size": 0.2,
    "penalty": "size",
    "finetune_fraction": 0.5,
    "max_iter": 6,
}


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture(scope="module")
def _joblib_is_at_work():
    Parallel(n_jobs=2)(delayed(int)() for _ in range(2))


def fitted(X, y, **changes):
    return HardL0MLPClassifier(**{**SETTINGS, **changes}).fit(X, y)


def assert_same(found, expected):
    """Compare all that fits leave and that no clock and no number of threads changes."""
    for name in ("loss_curve_", "validation_scores_", "n_units_", "t_"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("n_units", "batch_size"):
        assert found.history_[name] == expected.history_[name]
    np.testing.assert_array_equal(found.support_, expected.support_)
    pairs = zip(
        found.coefs_ + found.intercepts_, expected.coefs_ + expected.intercepts_, strict=True
    )
    for a, b in pairs:
        np.testing.assert_array_equal(a, b)


def assert_teams_change_nothing(monkeypatch, X, y, teams=TEAMS, **changes):
    with shared_by(monkeypatch, 1):
        alone = fitted(X, y, **changes)
    for n_threads in teams:
        with shared_by(monkeypatch, n_threads) as seen:
            assert_same(fitted(X, y, **changes), alone)
        assert max(seen.sizes) == n_threads
        assert seen.n_batches >= alone.n_iter_
    return alone


# --- the same model ----------------------------------------------------------------------

FORMATS = {
    "float32": np.asarray,
    "float64": lambda X: X.astype(float),
    "uint8": lambda X: (16 * X).astype(np.uint8),
    "Fortran": np.asfortranarray,
    "csr": sp.csr_array,
    "csr_uint8": lambda X: sp.csr_array((16 * X).astype(np.uint8)),
}


@pytest.mark.parametrize("format_", FORMATS)
def test_a_team_trains_the_same_network_from_any_data(digits, monkeypatch, format_):
    X, y = digits
    alone = assert_teams_change_nothing(monkeypatch, FORMATS[format_](X), y)
    assert alone.n_units_ < (64, 30, 20, 10)


@pytest.mark.parametrize("pruning", ["hard", "soft", "none"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_a_team_trains_the_same_network_with_any_activation(
    digits, monkeypatch, activation, pruning
):
    assert_teams_change_nothing(monkeypatch, *digits, [3], activation=activation, pruning=pruning)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("learning_rate", ["constant", "adaptive"])
def test_a_team_trains_the_same_network_by_gradient_descent(
    digits, monkeypatch, learning_rate, momentum
):
    assert_teams_change_nothing(
        monkeypatch,
        *digits,
        [2, 5],
        solver="sgd",
        learning_rate=learning_rate,
        momentum=momentum,
        alpha=0.1,
    )


@pytest.mark.parametrize("format_", ["float32", "csr"])
def test_a_team_trains_the_same_network_under_early_stopping(digits, monkeypatch, format_):
    X, y = digits
    alone = assert_teams_change_nothing(monkeypatch, FORMATS[format_](X), y, early_stopping=True)
    assert len(alone.validation_scores_) == alone.n_iter_


@pytest.mark.parametrize("n_rows", [1, 2, TILE_ROWS, TILE_ROWS + 1, 61])
def test_a_team_trains_the_same_network_on_mini_batches_of_any_size(digits, monkeypatch, n_rows):
    X, y = (part[:61] for part in digits)
    assert_teams_change_nothing(monkeypatch, X, y, [2, 5], batch_size=n_rows, max_iter=2)


@pytest.mark.parametrize("widths", [(1,), (3, 1, 2), (), (150,)])
def test_a_team_trains_the_same_network_of_any_size(digits, monkeypatch, widths):
    assert_teams_change_nothing(monkeypatch, *digits, [5], hidden_layer_sizes=widths)


def test_a_team_trains_the_same_network_on_several_labels(digits, monkeypatch):
    X, y = digits
    assert_teams_change_nothing(monkeypatch, X, np.eye(10, dtype=int)[y], [3])


def test_a_team_trains_the_same_network_in_order_and_without_input_gates(digits, monkeypatch):
    assert_teams_change_nothing(monkeypatch, *digits, [3], shuffle=False, gate_inputs=False)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("changes", [{}, {"batch_size": 7}, {"target_size": 1.0}])
def test_a_team_trains_the_same_network_to_a_size(digits, monkeypatch, changes, early_stopping):
    settings = TO_A_SIZE | changes | {"early_stopping": early_stopping}
    assert_teams_change_nothing(monkeypatch, *digits, [2, 5], **settings)


def test_mini_batches_of_a_team_grow_as_those_of_one_thread(digits, monkeypatch):
    X, y = (np.concatenate([part] * 4) for part in digits)
    alone = assert_teams_change_nothing(
        monkeypatch, X, y, [2, 5], **TO_A_SIZE | {"batch_size": "dynamic", "max_iter": 9}
    )
    assert alone.history_["batch_size"][-1] > alone.history_["batch_size"][0]


@pytest.mark.filterwarnings("ignore:memory_budget")
@pytest.mark.parametrize("memory_budget", ["62kB", "70kB", "80kB", "100kB", "150kB"])
@pytest.mark.parametrize("batch_size", [50, "dynamic"])
def test_within_a_budget_the_number_of_threads_changes_nothing(
    digits, monkeypatch, batch_size, memory_budget
):
    settings = TO_A_SIZE | {"batch_size": batch_size, "memory_budget": memory_budget}
    with shared_by(monkeypatch, 1):
        alone = fitted(*digits, **settings)
    for n_threads in (2, 5):
        # Threads that there is no room for are not asked.
        monkeypatch.setattr(build_config, "usable_threads", lambda n=n_threads: n)
        assert_same(fitted(*digits, **settings), alone)


@pytest.mark.parametrize("lengths", [(1,), (2,), (3, 32), (32,)])
def test_how_many_mini_batches_are_done_in_one_go_changes_nothing(digits, monkeypatch, lengths):
    X, y = digits
    with shared_by(monkeypatch, 1, [32]):
        alone = fitted(X, y, batch_size=7)
    for n_threads in (1, 2):
        with shared_by(monkeypatch, n_threads, lengths):
            assert_same(fitted(X, y, batch_size=7), alone)


def test_a_warm_start_goes_on_bit_for_bit_with_another_number_of_threads(digits, monkeypatch):
    with shared_by(monkeypatch, 1):
        whole = fitted(*digits, max_iter=6)
    for first, second in ((1, 3), (3, 1)):
        with shared_by(monkeypatch, first):
            parts = fitted(*digits, max_iter=3, warm_start=True)
        with shared_by(monkeypatch, second):
            assert_same(parts.fit(*digits), whole)


@pytest.mark.parametrize("limits", [(3, 1), (1, 3)])
def test_a_warm_start_heeds_the_limit_on_threads_of_its_time(digits, monkeypatch, limits):
    seen, pace = [], trainer.ThreadTuner
    monkeypatch.setattr(trainer, "ThreadTuner", lambda n: (seen.append(n), pace(n))[1])
    model = HardL0MLPClassifier(**SETTINGS, warm_start=True)
    for limit in limits:
        monkeypatch.setattr(build_config, "usable_threads", lambda limit=limit: limit)
        model.fit(*digits)
    assert tuple(seen) == limits


def test_sequences_of_dark_and_lit_columns_are_read_alike_by_all(monkeypatch):
    """Columns are looked through by the whole team, for the mini-batch after."""
    rng = np.random.default_rng(0)
    X = np.where(np.arange(200)[:, None] // 10 % 3 == np.arange(40) // 10, 1.0, 0.0)
    X *= rng.normal(size=X.shape)
    y = (X.sum(axis=1) > 0).astype(int)
    for format_ in (np.asarray, sp.csr_array):
        assert_teams_change_nothing(
            monkeypatch, format_(X), y, batch_size=10, shuffle=False, pruning="soft"
        )


def test_room_for_threads_that_do_not_come_changes_nothing():
    problem = problems.problem((41, 31, 5), n_rows=61, batch_size=20)
    one, several = (problems.buffers_of(problem, n_threads=n) for n in (1, 7))
    for buffers in (one, several):
        problems.run(buffers, problem, naive.Settings())
    for name in ("theta", "first", "second", "log_odds", "on_count", "on_sum", "losses"):
        np.testing.assert_array_equal(several.arrays()[name], one.arrays()[name])


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize(
    "widths", [(1, 1), (7, 1), (300, 8, 1), (41, 17, 5), (5, 70, 3), (60, 49, 50, 33), (9, 700, 2)]
)
def test_a_thread_stays_within_its_scratch(widths, batch_size, solver):
    settings = naive.Settings(solver=solver)
    problem = problems.problem(widths, batch_size=batch_size)
    buffers = problems.buffers_of(problem, settings, n_threads=2)
    own, of_another = buffers.arrays()["scratch"]
    own[:] = of_another[:] = 77.0
    problems.run(buffers, problem, settings)
    assert (own != 77.0).any()
    np.testing.assert_array_equal(of_another, 77.0)


# --- beside others -----------------------------------------------------------------------


def test_trainings_at_the_same_time_do_not_disturb_each_other(digits, monkeypatch):
    with shared_by(monkeypatch, 1):
        alone = [fitted(*digits, random_state=seed) for seed in range(8)]
    found = {}

    def train(seed):
        found[seed] = fitted(*digits, random_state=seed)

    with shared_by(monkeypatch, 2) as seen:
        trainings = [threading.Thread(target=train, args=[seed]) for seed in range(8)]
        for thread in trainings:
            thread.start()
        for thread in trainings:
            thread.join(PATIENCE)
    assert max(seen.sizes) == 2
    for seed, model in enumerate(alone):
        assert_same(found[seed], model)


def test_trainings_at_the_same_time_with_threads_of_their_own_choice_agree(digits, monkeypatch):
    alone = fitted(*digits)
    monkeypatch.setattr(build_config, "usable_threads", lambda: 3)
    found = []
    trainings = [threading.Thread(target=lambda: found.append(fitted(*digits))) for _ in range(8)]
    for thread in trainings:
        thread.start()
    for thread in trainings:
        thread.join(PATIENCE)
    assert len(found) == 8
    for model in found:
        assert_same(model, alone)


def exit_code_of(child):
    """Wait for a child process; kill it if it hangs."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_a_child_forked_while_another_thread_trains_trains_by_itself(digits, monkeypatch):
    with shared_by(monkeypatch, 1):
        alone = fitted(*digits)
    stop, models, epochs = threading.Event(), [], []

    def train():
        model = HardL0MLPClassifier(**SETTINGS | {"max_iter": 10**6, "n_iter_no_change": 10**6})
        models.append(model._fit(*digits, lambda *_: epochs.append(0) or stop.is_set()))

    with shared_by(monkeypatch, 2):
        thread = threading.Thread(target=train)
        thread.start()
        codes = []
        for n_epochs in range(3, 8):
            wait_for(lambda n=n_epochs: len(epochs) > n)
            child = os.fork()
            if child == 0:
                code = 2
                try:
                    assert_same(fitted(*digits), alone)
                    code = 0
                finally:
                    os._exit(code)
            codes.append(exit_code_of(child))
        stop.set()
        thread.join(PATIENCE)
    assert codes == [0] * 5
    assert len(models) == 1


@needs_fork
def test_a_child_forked_between_two_epochs_goes_on_alone(digits, monkeypatch):
    """As a hook of the user may: the child's copy of the crew has no threads."""
    with shared_by(monkeypatch, 1):
        alone = fitted(*digits)
    monkeypatch.setattr(build_config, "usable_threads", lambda: 2)
    monkeypatch.setattr(trainer.ThreadTuner, "next", lambda self, n: (2, n))
    me, children = os.getpid(), []

    def fork(epoch, *_):
        if epoch == 1:
            children.append(os.fork())

    model = HardL0MLPClassifier(**SETTINGS)
    code = 2
    try:
        model._fit(*digits, fork)
        assert_same(model, alone)
        code = 0
    finally:
        if os.getpid() != me:
            os._exit(code)
    assert exit_code_of(children[0]) == 0


# joblib's own threads stay.
@pytest.mark.usefixtures("_joblib_is_at_work")
def test_grid_search_in_two_processes_finds_what_one_finds(digits):
    def scores(n_jobs):
        # Of so many mini-batches that other processes, too, decide after every epoch.
        model = HardL0MLPClassifier(**SETTINGS | {"batch_size": 2})
        search = GridSearchCV(model, {"lam": [0.01, 3.0]}, n_jobs=n_jobs, cv=2)
        return search.fit(*digits).cv_results_["mean_test_score"]

    np.testing.assert_array_equal(scores(2), scores(None))


def test_a_daemon_thread_can_train(digits, monkeypatch):
    with shared_by(monkeypatch, 1):
        alone = fitted(*digits)
    found = []
    with shared_by(monkeypatch, 3):
        thread = threading.Thread(target=lambda: found.append(fitted(*digits)), daemon=True)
        thread.start()
        thread.join(PATIENCE)
    assert_same(found[0], alone)


LEAVES = """
import threading, time
import numpy as np
from fastl0 import HardL0MLPClassifier
from fastl0.estimators import build_config
from fastl0.training import trainer
build_config.usable_threads = lambda: 3
trainer.ThreadTuner.next = lambda self, n: (3, n)
X, epochs = np.random.default_rng(0).normal(size=(400, 20)), []
model = HardL0MLPClassifier(max_iter=10**6, n_iter_no_change=10**6, tol=0, lam=0.1)
def train():
    model._fit(X, X[:, 0] > 0, lambda epoch, *_: epochs.append(epoch) or epoch == {last})
threading.Thread(target=train, daemon={daemon}).start()
while len(epochs) < 3:
    time.sleep(0.001)
"""


@pytest.mark.parametrize(("daemon", "last"), [(True, 10**6), (False, 50)])
def test_a_process_ends_while_a_thread_trains(daemon, last):
    code = LEAVES.format(daemon=daemon, last=last)
    options = ["-W", "error", "-W", "ignore:Training"]
    done = subprocess.run([sys.executable, *options, "-c", code], timeout=PATIENCE, check=True)
    assert done.returncode == 0


# --- ends --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*training goes back:RuntimeWarning")
def test_no_thread_is_left_after_a_training_that_diverges(digits, monkeypatch):
    X, y = digits
    with (
        shared_by(monkeypatch, 3) as seen,
        pytest.raises(ValueError, match="not finite"),
    ):
        fitted(X * np.float32(1e30), y)
    assert max(seen.sizes) == 3


@pytest.mark.filterwarnings("ignore:.*training goes back:RuntimeWarning")
def test_a_loss_that_is_not_finite_stops_a_team_where_it_stops_one_thread(digits, monkeypatch):
    X, y = digits[0].copy(), digits[1]
    X[333] = 1e30
    messages = []
    for n_threads in (1, 3):
        with shared_by(monkeypatch, n_threads), pytest.raises(ValueError, match="finite") as error:
            fitted(X, y, pruning="none", shuffle=False)
        messages.append(str(error.value))
    assert "after 12 updates" not in messages[0]  # the epoch's last one
    assert messages[0] == messages[1]


@pytest.mark.parametrize("keep", [True, False])
def test_no_thread_is_left_after_ctrl_c_between_epochs(digits, monkeypatch, keep):
    def interrupt(epoch, *_):
        if epoch == 2:
            raise KeyboardInterrupt

    model = HardL0MLPClassifier(**SETTINGS)
    expected = pytest.warns(UserWarning, match="interrupted") if keep else (
        pytest.raises(KeyboardInterrupt)
    )  # fmt: skip
    with shared_by(monkeypatch, 3) as seen, expected:
        model._fit(*digits, on_epoch=interrupt, keep_interrupted=keep)
    assert max(seen.sizes) == 3


@pytest.mark.parametrize("call", [1, 2, 9])
def test_no_thread_is_left_after_ctrl_c_within_an_epoch(digits, monkeypatch, call):
    calls = []

    def interrupted(*arguments):
        result = train_batches(*arguments)
        if arguments[-1] == 0:
            calls.append(0)
            if len(calls) == call:
                raise KeyboardInterrupt
        return result

    model = HardL0MLPClassifier(**SETTINGS)
    with shared_by(monkeypatch, 3) as seen:
        monkeypatch.setattr(epoch_runner, "train_batches", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model._fit(*digits)
        monkeypatch.setattr(epoch_runner, "train_batches", train_batches)
    assert max(seen.sizes) == 3
    assert len(calls) == call


def test_no_helper_holds_a_buffer_that_shrinks(digits, monkeypatch):
    """Somebody who held one would keep its memory: it would be replaced, not resized."""
    trainers, initialise, seen_arrays = [], trainer.Trainer.__init__, []

    def note(trainer, *arguments):
        trainers.append(trainer)
        initialise(trainer, *arguments)

    def look(*_):
        seen_arrays.append({n: id(a) for n, a in trainers[0].buffers.arrays().items()})

    monkeypatch.setattr(trainer.Trainer, "__init__", note)
    model = HardL0MLPClassifier(**SETTINGS)
    with shared_by(monkeypatch, 3) as seen:
        model._fit(*digits, look)
    assert max(seen.sizes) == 3
    assert model.n_units_ < (64, 30, 20, 10)
    assert all(arrays == seen_arrays[0] for arrays in seen_arrays)
