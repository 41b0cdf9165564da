"""One epoch of 60,000 images at the sizes that a network passes through as it shrinks.

Soft pruning deletes nothing: where others train the smaller network, it trains the whole
one with the gates of all other units shut. One thread.
"""

import time

import pytest
import workloads

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


@pytest.fixture(scope="module")
def images():
    X, y = workloads.load_images()
    return workloads.scaled(X), y


@pytest.mark.parametrize("pruning", ["none", "soft", "hard"])
@pytest.mark.parametrize("widths", workloads.WIDTHS, ids=workloads.name_of)
def bench_epoch(benchmark, images, widths, pruning):
    epoch = workloads.Epoch(widths, pruning, *images)
    benchmark.group = f"epoch of {workloads.name_of(widths)} on {workloads.data_name()}"
    benchmark.pedantic(epoch.run, rounds=5, warmup_rounds=1)
    trained = tuple(epoch.trainer.buffers.widths)
    assert trained == (workloads.WHOLE if pruning == "soft" else widths)
