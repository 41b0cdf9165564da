"""The kernels as they are shipped: of every instruction set, and beside those of the JIT."""

import json
import subprocess

import naive
import numpy as np
import problems
import pytest
from subprocesses import run_with_isa

from fastl0 import _kernels
from fastl0._numba import permutation, train_loop
from fastl0.kernel_api.codes import ACTIVATIONS, LOSSES, SOLVERS
from fastl0.kernel_api.row_order import RowOrder, draw_keys
from fastl0.training import kernels

#: Instruction sets that multiply and add in one step; all get the same bits.
FUSED = [isa for isa in _kernels.isas if isa not in ("baseline", "generic")]

#: The host's JIT does so, too; where the kernels in use do not, bits differ.
same_arithmetic = pytest.mark.skipif(
    bool(FUSED) and _kernels.isa not in FUSED, reason="the JIT is one of another instruction set"
)


def state_after(train, case, settings, monkeypatch):
    """Loss, and all arrays that a training leaves behind."""
    monkeypatch.setattr(problems, "train_batches", train)
    buffers = problems.buffers_of(case, settings)
    loss = problems.run(buffers, case, settings)
    names = ("theta", "first", "second", "log_odds", "gate_first", "gate_second", "on_count")
    return [loss, *(buffers.arrays()[name] for name in (*names, "on_sum", "gate_gradient"))]


@same_arithmetic
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_built_kernels_get_the_same_bits_as_the_jit(loss, solver, monkeypatch):
    for activation in ACTIVATIONS:
        for widths, batch_size in (((23, 37, 17, 5), 7), ((9, 50, 3), 1)):
            case = problems.problem(widths, activation, loss, batch_size=batch_size)
            settings = naive.Settings(solver=solver, alpha=0.01)
            built, compiled = (
                state_after(train, case, settings, monkeypatch)
                for train in (_kernels.train_batches, train_loop.train_batches)
            )
            for a, b in zip(built, compiled, strict=True):
                np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("n_rows", [1, 2, 255, 256, 1000])
def test_built_kernels_list_the_same_rows_as_the_jit(n_rows):
    keys = draw_keys(np.random.default_rng(n_rows))
    numbers = np.arange(n_rows, dtype=np.int32) * 3
    for rows in (numbers, numbers[:0]):
        order = RowOrder(n_rows, rows, keys)
        found = np.zeros((2, n_rows), np.int32)
        _kernels.fill_rows_(order, 0, found[0])
        permutation.fill_rows_(order, 0, found[1])
        np.testing.assert_array_equal(found[0], found[1])


def test_training_takes_the_built_kernels_unless_told_otherwise():
    assert kernels.train_batches is _kernels.train_batches
    code = "from fastl0.training import kernels as k; print(k.train_batches.__module__)"
    assert b"fastl0._kernels" in run_with_isa(_kernels.isa, code)


# --- one network everywhere -----------------------------------------------------------------

NETWORKS = """
import hashlib, json
import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from fastl0 import HardL0MLPClassifier, HardL0MLPRegressor

def of(model):
    digest = hashlib.sha256(b"".join(a.tobytes() for a in model.coefs_ + model.intercepts_))
    return digest.hexdigest(), model.n_units_, model.loss_

X, y = load_digits(return_X_y=True)
X = X[:400] / 16
found = {}
for activation in ("relu", "tanh", "logistic", "identity"):
    for settings in ({"batch_size": 50, "pruning": "soft"}, {"solver": "sgd"}, {"batch_size": 1}):
        n_epochs = 2 if "batch_size" in settings and settings["batch_size"] == 1 else 15
        model = HardL0MLPClassifier(
            (40, 20), activation=activation, max_iter=n_epochs, random_state=0, tol=0.0,
            n_iter_no_change=99, **settings,
        ).fit(X, y[:400])
        found[f"{activation} {settings}"] = of(model)
Z, t = load_diabetes(return_X_y=True)
for loss in ("squared_error", "absolute_error", "huber", "quantile", "poisson"):
    model = HardL0MLPRegressor((30,), loss=loss, max_iter=20, random_state=0).fit(100 * Z, t)
    found[loss] = of(model)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def networks():
    code = "import warnings; warnings.simplefilter('ignore')\n" + NETWORKS
    return {isa: json.loads(run_with_isa(isa, code)) for isa in _kernels.isas}


def test_the_environment_chooses_the_instruction_set():
    code = "from fastl0 import _kernels; print(_kernels.isa, end='')"
    assert [run_with_isa(isa, code).decode() for isa in _kernels.isas] == list(_kernels.isas)


def test_all_that_multiply_and_add_in_one_step_train_the_same_network(networks):
    for isa in FUSED[1:]:
        assert networks[isa] == networks[FUSED[0]]


def test_others_train_nearly_the_same(networks):
    plain, widest = (dict(networks[isa]) for isa in (next(iter(networks)), _kernels.isa))
    for name in plain:
        np.testing.assert_allclose(plain[name][2], widest[name][2], rtol=0.05, err_msg=name)


def test_an_unknown_instruction_set_is_refused():
    run_with_isa("avx1024", "import fastl0.model.network")  # predicting needs none
    with pytest.raises(subprocess.CalledProcessError):
        run_with_isa("avx1024", "import fastl0._kernels")
