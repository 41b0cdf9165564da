"""The gate sampler: one draw of every gate, as at the start of each mini-batch."""

import time

import numpy as np
import pytest

from fastl0._numba.gates import sample_gates
from fastl0.model.hard_concrete import BETA, GAMMA, SHIFT, ZETA

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


def sample_gates_in_numpy(uniforms, log_odds, gates_, slopes_, on_probability_):
    u = np.float32(1e-6) + np.float32(1 - 2e-6) * uniforms
    s = 1 / (1 + np.exp((np.log1p(-u) - np.log(u) - log_odds) / np.float32(BETA)))
    stretched = s * np.float32(ZETA - GAMMA) + np.float32(GAMMA)
    np.clip(stretched, 0, 1, out=gates_)
    inside = (stretched > 0) & (stretched < 1)
    np.multiply(np.float32((ZETA - GAMMA) / BETA) * s * (1 - s), inside, out=slopes_)
    np.divide(1, 1 + np.exp(-log_odds - np.float32(SHIFT)), out=on_probability_)


@pytest.mark.parametrize("n_units", [100, 1_184, 10_000])
@pytest.mark.parametrize("version", ["kernel", "numpy"])
def bench_sample_gates(benchmark, version, n_units):
    sample = sample_gates if version == "kernel" else sample_gates_in_numpy
    rng = np.random.default_rng(0)
    uniforms = rng.random(n_units, dtype=np.float32)
    log_odds = rng.uniform(-4.6, 4.6, n_units).astype(np.float32)
    outs = [np.empty(n_units, np.float32) for _ in range(3)]
    sample(uniforms, log_odds, *outs)
    benchmark.group = f"gates of {n_units} units"
    benchmark(sample, uniforms, log_odds, *outs)
