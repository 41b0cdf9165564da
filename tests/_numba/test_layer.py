"""Where a layer lies in the training buffers, and who takes which part of a range."""

import naive
import problems
import pytest

from fastl0._numba.layer import locate_layer, split_range
from fastl0.kernel_api.tiles import padded


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 61])
@pytest.mark.parametrize("unit", [1, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 13])
def test_parts_make_up_the_range_in_whole_units(n, unit, size):
    parts = [split_range(n, unit, number, size) for number in range(size)]
    assert [k for low, high in parts for k in range(low, high)] == list(range(n))
    assert all(low % unit == 0 or low == n for low, _ in parts)


def test_the_leader_takes_what_is_uneven():
    assert [split_range(5, 1, number, 2) for number in range(2)] == [(0, 3), (3, 5)]


@pytest.fixture(params=[(7, 5, 3), (4, 1), (9, 6, 5, 2)], ids=str)
def trained(request):
    widths = request.param
    problem = problems.problem(widths, gated=(True,) * (len(widths) - 1), n_rows=8, batch_size=4)
    buffers = problems.buffers_of(problem)
    problems.run(buffers, problem, naive.Settings())
    return buffers, problems.rule(problem, naive.Settings())


def located(buffers, params):
    weights, _, batch = buffers.pointers()
    return [locate_layer(weights, batch, params, k) for k in range(weights.n_layers)]


def test_layers_are_found_where_the_buffers_hold_them(trained):
    buffers, params = trained
    theta = buffers.arrays()["theta"].ctypes.data
    for k, layer in enumerate(located(buffers, params)):
        weights, _ = buffers.layer(k)
        assert theta + 4 * layer.start == weights.ctypes.data
        assert (layer.fan_in, layer.fan_out) == weights.shape
        assert layer.n_in == buffers.arrays()["n_active"][k]
        assert (layer.stride_in, layer.stride_out) == (padded(layer.n_in), padded(layer.n_out))


def test_what_a_layer_computes_enters_the_next_one(trained):
    buffers, params = trained
    layers = located(buffers, params)
    for layer, after in zip(layers[:-1], layers[1:], strict=True):
        assert (layer.n_out, layer.stride_out) == (after.n_in, after.stride_in)
        assert (layer.active_out, layer.gate_out) == (after.active_in, after.gate_in)
        assert (layer.outputs, layer.delta) == (after.inputs, after.upstream)
    assert layers[-1].delta == layers[-1].outputs


def test_all_layers_lie_within_their_buffers(trained):
    buffers, params = trained
    arrays, layers = buffers.arrays(), located(buffers, params)

    def assert_within(name, address, n):
        low = arrays[name].ctypes.data
        assert low <= address <= address + 4 * n <= low + arrays[name].nbytes

    n_rows = params.batch_size
    for layer in layers:
        assert_within("values", layer.inputs, n_rows * layer.stride_in)
        assert_within("values", layer.outputs, n_rows * layer.stride_out)
        assert_within("active", layer.active_out, layer.n_out)
        assert_within("active_bias", layer.bias_out, layer.n_out)
    for layer in layers[:-1]:
        assert_within("deltas", layer.delta, n_rows * layer.stride_out)
    spans = [(layer.inputs, layer.inputs + 4 * n_rows * padded(layer.fan_in)) for layer in layers]
    for (_, end), (start, _) in zip(spans[:-1], spans[1:], strict=True):
        assert end <= start
