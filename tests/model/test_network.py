import naive
import numpy as np
import problems
import pytest
from scipy.sparse import csr_array, csr_matrix

from fastl0.model import network
from fastl0.model.network import Network, codes_of, fold_gates

ACTIVATIONS = ["identity", "logistic", "tanh", "relu"]


def random_network(widths, activation="relu", out_activation="softmax", n_features=None, seed=0):
    rng = np.random.default_rng(seed)
    layers = list(zip(widths[:-1], widths[1:], strict=True))
    support = np.zeros(n_features or widths[0], dtype=bool)
    support[rng.permutation(len(support))[: widths[0]]] = True
    return Network(
        [rng.normal(size=layer).astype(np.float32) for layer in layers],
        [rng.normal(size=fan_out).astype(np.float32) for _, fan_out in layers],
        support,
        activation,
        out_activation,
    )


def by_reference(net, X):
    """Activated outputs in float64, by the reference's forward pass."""
    ungated = [None] * len(net.coefs)
    plain = naive.Network(net.coefs, net.intercepts, ungated, net.activation)
    gates = [np.ones(len(coef)) for coef in net.coefs]
    logits = naive.forward(plain, np.asarray(X, float)[:, net.support], gates)[1][-1]
    return naive.softmax(logits, axis=1) if net.out_activation == "softmax" else naive.expit(logits)


def rows(n_rows, n_features, dtype=np.float32, seed=1):
    X = np.random.default_rng(seed).normal(0, 3, (n_rows, n_features))
    X[np.abs(X) < 2] = 0
    return X.astype(dtype)


# --- forward pass --------------------------------------------------------------------


@pytest.mark.parametrize("out_activation", ["softmax", "logistic"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("widths", [(1, 1), (7, 2), (1, 5, 3), (13, 11, 7, 4)], ids=str)
@pytest.mark.parametrize("n_rows", [0, 1, 23])
def test_outputs_agree_with_the_reference(n_rows, widths, activation, out_activation):
    net = random_network(widths, activation, out_activation, n_features=widths[0] + 4)
    for dtype, tolerance in ((np.float32, 1e-4), (np.float64, 1e-12)):
        X = rows(n_rows, widths[0] + 4, dtype)
        np.testing.assert_allclose(net.outputs(X), by_reference(net, X), rtol=0, atol=tolerance)


@pytest.mark.parametrize("support", ["all", "some"])
@pytest.mark.parametrize("block_nbytes", [1, 500, 3000])
@pytest.mark.parametrize("make", [np.asarray, csr_array, csr_matrix])
def test_outputs_in_blocks_equal_outputs_at_once(monkeypatch, make, block_nbytes, support):
    net = random_network((13, 7, 3), n_features=13 if support == "all" else 20)
    X = rows(31, len(net.support))
    at_once = net.outputs(X)
    monkeypatch.setattr(network, "_BLOCK_NBYTES", block_nbytes)
    np.testing.assert_allclose(net.outputs(make(X)), at_once, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n_features", [7, 12])
@pytest.mark.parametrize("kind", [csr_array, csr_matrix])
@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f4", "f8"])
def test_csr_rows_give_what_dense_rows_give(dtype, kind, n_features):
    net = random_network((7, 5, 3), "tanh", n_features=n_features)
    X = np.abs(rows(11, n_features)).astype(dtype)
    found, expected = net.outputs(kind(X)), net.outputs(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert found.dtype == expected.dtype == (np.float64 if dtype == "f8" else np.float32)


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "u4", "i8", "f4"])
def test_outputs_are_float64_for_float64_input_only(dtype):
    net = random_network((7, 5, 3))
    X = np.abs(rows(3, 7)).astype(dtype)
    assert net.outputs(X).dtype == np.float32
    assert net.outputs(X.astype(np.float64)).dtype == np.float64


@pytest.mark.parametrize("layout", ["Fortran", "strided", "read_only"])
def test_any_layout_of_the_input_will_do_and_none_is_changed(layout):
    net = random_network((7, 3), n_features=9)
    X = rows(5, 9)
    expected = net.outputs(X)
    own = {
        "Fortran": np.asfortranarray(X),
        "strided": np.repeat(X, 2, axis=1)[:, ::2],
        "read_only": X.copy(),
    }[layout]
    own.flags.writeable = layout != "read_only"
    np.testing.assert_array_equal(net.outputs(own), expected)
    np.testing.assert_array_equal(own, X)


def test_inputs_are_not_overwritten_by_a_network_without_hidden_layer():
    net = random_network((3, 2), "identity")
    X = rows(4, 3)
    before = X.copy()
    net.outputs(X)
    np.testing.assert_array_equal(X, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("out_activation", ["softmax", "logistic"])
@pytest.mark.parametrize("activation", ["identity", "relu", "logistic", "tanh"])
def test_huge_logits_do_not_overflow(activation, out_activation, dtype):
    net = random_network((5, 4, 3), activation, out_activation)
    huge = Network(
        [coef * np.float32(1e6) for coef in net.coefs],
        net.intercepts,
        net.support,
        activation,
        out_activation,
    )
    outputs = huge.outputs(rows(20, 5, dtype))
    assert np.all((outputs >= 0) & (outputs <= 1))
    if out_activation == "softmax":
        np.testing.assert_allclose(outputs.sum(axis=1), 1, rtol=1e-6)


def test_sizes_are_those_of_the_arrays():
    net = random_network((784, 300, 100, 10))
    assert net.n_units == (784, 300, 100, 10)
    assert net.n_parameters == 266_610


# --- codes ---------------------------------------------------------------------------


def test_softmax_codes_are_the_likeliest_class():
    outputs = np.array([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]])
    np.testing.assert_array_equal(codes_of(outputs, "softmax"), [1, 0])


def test_logistic_codes_are_what_is_likelier_than_not():
    outputs = np.array([[0.2], [0.5], [0.51]])
    np.testing.assert_array_equal(codes_of(outputs, "logistic"), [0, 0, 1])
    several = np.array([[0.2, 0.9], [0.6, 0.7]])
    np.testing.assert_array_equal(codes_of(several, "logistic"), [[0, 1], [1, 1]])


@pytest.mark.parametrize("out_activation", ["softmax", "logistic"])
def test_predicted_codes_are_those_of_the_outputs(out_activation):
    net = random_network((7, 5, 3), out_activation=out_activation)
    X = rows(11, 7)
    codes = net.predict_codes(X)
    np.testing.assert_array_equal(codes, codes_of(by_reference(net, X), out_activation))
    assert codes.dtype == np.intp


# --- folding -------------------------------------------------------------------------


def parts(problem):
    """Layers and log-odds as `fold` takes them, and the deterministic gates."""
    net = problem.network
    layers = [
        (w.astype(np.float32), b.astype(np.float32))
        for w, b in zip(net.weights, net.biases, strict=True)
    ]
    log_odds = [None if a is None else a.astype(np.float32) for a in net.log_odds]
    gates = [
        np.ones(len(w)) if a is None else np.clip(1.2 * naive.expit(a) - 0.1, 0, 1)
        for w, a in zip(net.weights, net.log_odds, strict=True)
    ]
    return layers, log_odds, gates


@pytest.mark.parametrize("gated", [(True, True, True), (False, True, True), (False,) * 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_folding_leaves_the_deterministic_function_unchanged(activation, gated):
    problem = problems.problem((13, 11, 7, 3), activation, gated=gated)
    layers, log_odds, gates = parts(problem)
    coefs, intercepts, kept = fold_gates(layers, log_odds)
    expected = naive.forward(problem.network, problem.X, gates)[1][-1]
    support = np.isin(np.arange(13), kept)
    found = by_reference(Network(coefs, intercepts, support, activation, "softmax"), problem.X)
    np.testing.assert_allclose(found, naive.softmax(expected, axis=1), rtol=0, atol=1e-6)
    for layer, has_gates in enumerate(gated):
        assert len(coefs[layer]) == np.count_nonzero(gates[layer])
        assert (len(coefs[layer]) < problem.widths[layer]) == has_gates


def test_folding_drops_exactly_the_units_whose_gate_is_zero():
    layers, log_odds, gates = parts(problems.problem((13, 11, 7, 3)))
    coefs, intercepts, kept = fold_gates(layers, log_odds)
    on = [np.flatnonzero(z) for z in gates] + [np.arange(3)]
    np.testing.assert_array_equal(kept, on[0])
    for layer, (weights, bias) in enumerate(layers):
        factors = gates[layer][on[layer], None].astype(np.float32)
        expected = factors * weights[on[layer]][:, on[layer + 1]]
        np.testing.assert_allclose(coefs[layer], expected, rtol=1e-6)
        np.testing.assert_array_equal(intercepts[layer], bias[on[layer + 1]])
        assert coefs[layer].dtype == intercepts[layer].dtype == np.float32


def test_a_layer_whose_gates_are_all_zero_keeps_the_unit_with_the_highest_log_odds():
    problem = problems.problem((5, 4, 3))
    problem.network.log_odds[0][:] = [-4, -3, -2.5, -3, -4]
    problem.network.log_odds[1][:] = [-3, -4, -4, -2.6]
    layers, log_odds, _ = parts(problem)
    coefs, intercepts, kept = fold_gates(layers, log_odds)
    np.testing.assert_array_equal(kept, [2])
    assert [coef.shape for coef in coefs] == [(1, 1), (1, 3)]
    np.testing.assert_array_equal(intercepts[0], layers[0][1][[3]])
    for coef in coefs:
        assert not coef.any()


def test_folding_copies_and_changes_nothing():
    layers, log_odds, _ = parts(problems.problem((5, 4, 3), gated=(False, False)))
    before = [array.copy() for layer in layers for array in layer]
    coefs, intercepts, _ = fold_gates(layers, log_odds)
    for array in [*coefs, *intercepts]:
        assert not any(np.shares_memory(array, own) for layer in layers for own in layer)
        array[:] = 7
    for own, was in zip((array for layer in layers for array in layer), before, strict=True):
        np.testing.assert_array_equal(own, was)


# --- numbers at the edge of float32 ------------------------------------------------------


@pytest.mark.parametrize("activation", ["identity", "relu", "tanh", "logistic"])
@pytest.mark.parametrize("out_activation", ["identity", "softmax", "logistic", "exp"])
@pytest.mark.parametrize("container", [np.asarray, csr_array])
def test_rows_of_any_finite_numbers_give_numbers(activation, out_activation, container):
    """Products that overflow float32 are computed in float64; what is too large is infinite."""
    rng = np.random.default_rng(0)
    widths = (5, 8, 6, 3)
    pairs = list(zip(widths[:-1], widths[1:], strict=True))
    network = Network(
        [rng.normal(0, 10, pair).astype(np.float32) for pair in pairs],
        [rng.normal(size=width).astype(np.float32) for width in widths[1:]],
        np.ones(5, bool),
        activation,
        out_activation,
    )
    X = rng.choice([-1, 1, 0.5], size=(40, 5)) * np.float32(np.finfo(np.float32).max)
    found = network.outputs(container(X.astype(np.float32)))
    expected = network.outputs(X.astype(np.float64))
    assert found.dtype == np.float32
    assert not np.isnan(found).any()
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(found, expected.astype(np.float32), rtol=1e-5)


class _Silent(np.ndarray):
    """Weights whose products raise no flag, as those of threads do not."""

    def __rmatmul__(self, left):
        with np.errstate(all="ignore"):
            return left @ np.asarray(self)


def cancelling(sign, activation, out_activation):
    """Network and row: sums of float32 pass infinity on their way to -sign * 2**126."""
    terms = sign * np.float32(2) ** np.array([127, 127, 127, 127, 126], np.float32)
    terms[2:] *= -1
    coefs = [np.ones((5, 2)), np.ones((2, 1))] if activation else [np.ones((5, 2))]
    coefs = [coef.astype(np.float32).view(_Silent) for coef in coefs]
    intercepts = [np.zeros(coef.shape[1], np.float32) for coef in coefs]
    net = Network(coefs, intercepts, np.ones(5, bool), activation or "relu", out_activation)
    return net, terms[None]


# Two entries a row to be looked at: few, and more than a product of vectors is taken of.
@pytest.mark.parametrize("n_rows", [1, network._SMALL])
@pytest.mark.parametrize("container", [np.asarray, csr_array, csr_matrix])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("activation", "expected"), [("tanh", np.tanh), ("logistic", naive.expit), ("relu", None)]
)
def test_no_activation_hides_a_sum_that_has_overflowed(
    activation, expected, sign, container, n_rows
):
    net, row = cancelling(sign, activation, "identity")
    total = -sign * 2.0**126
    expected = 2 * (max(total, 0.0) if expected is None else expected(total))
    found = net.outputs(container(np.repeat(row, n_rows, axis=0)))
    np.testing.assert_allclose(found, np.full((n_rows, 1), expected), rtol=1e-6)


@pytest.mark.parametrize("container", [np.asarray, csr_array])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("out_activation", ["identity", "logistic", "exp", "softmax"])
def test_no_output_hides_a_sum_that_has_overflowed(out_activation, sign, container):
    net, row = cancelling(sign, None, out_activation)
    net.intercepts[0][:] = [0, -sign * 2.0**126]
    total = -sign * 2.0**126
    expected = {
        "identity": [total, 2 * total],
        "logistic": [sign < 0] * 2,
        "exp": [np.inf if sign < 0 else 0] * 2,
        "softmax": [sign > 0, sign < 0],
    }[out_activation]
    np.testing.assert_array_equal(net.outputs(container(row)), np.array([expected], float))


@pytest.mark.parametrize("n", [1, 3, network._SMALL, network._SMALL + 1])
@pytest.mark.parametrize("bad", [(np.inf,), (-np.inf,), (np.nan,), (np.inf, -np.inf)])
def test_one_number_that_is_not_finite_is_seen_among_many(bad, n):
    values = np.linspace(-1, 1, 2 * n, dtype=np.float32).reshape(n, 2)
    assert network._all_finite(values)
    values[n // 2, : len(bad)] = bad
    with np.errstate(invalid="ignore"):
        assert not network._all_finite(values)
