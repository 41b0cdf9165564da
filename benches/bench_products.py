"""A mini-batch of 128 rows, compact or whole, beside the bare BLAS products of its shapes.

A mini-batch is: gather, forward, loss, backward and the step of the optimiser, which goes
row by row where the products are compact. Times are for 16 mini-batches.
"""

import time

import numpy as np
import pytest
import workloads
from threadpoolctl import threadpool_limits

pytestmark = pytest.mark.benchmark(timer=time.thread_time)

N_BATCHES = 16


@pytest.fixture(scope="module")
def images():
    with threadpool_limits(1, user_api="blas"):
        yield workloads.scaled(workloads.load_images()[0])


@pytest.mark.parametrize("kind", ["whole", "compact", "bare"])
@pytest.mark.parametrize("share", [1.0, 0.95, 0.9, 0.8, 0.6, 0.3])
@pytest.mark.parametrize("widths", [workloads.WHOLE, workloads.WIDTHS[-1]], ids=workloads.name_of)
def bench_minibatches(benchmark, images, widths, share, kind):
    benchmark.group = f"{workloads.name_of(widths)}, {share:.0%} of the gates open"
    if kind == "bare":
        n_active = [round(share * width) for width in widths[:-1]] + [widths[-1]]
        run = workloads.Products(n_active, N_BATCHES).run
    else:
        batches = workloads.Minibatches(widths, images, share, share, N_BATCHES)
        compact = kind == "compact"

        def run():
            batches.run(compact_inputs=compact, compact_hidden=compact)

    run()
    if kind == "compact":
        expected = [round(share * width) for width in widths[:-1]]
        np.testing.assert_array_equal(batches.n_active[:-1], expected)
    benchmark.pedantic(run, rounds=15, warmup_rounds=1)
