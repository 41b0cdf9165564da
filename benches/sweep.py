"""Products, pieces of a mini-batch, and where compaction breaks even: writes three tables.

    python benches/sweep.py [--rounds N]

All on one thread. Compact and whole mini-batches take turns, and their ratio is taken within
each turn, so that a busy machine disturbs both alike: `epoch.COMPACT_INPUTS` and
`epoch.COMPACT_HIDDEN` come from there. Real images: FASTL0_DATA.
"""

import argparse
import csv
import time
from functools import partial

import numpy as np
import workloads
from threadpoolctl import threadpool_limits

from fastl0._numba.active_units import COMPACT_HIDDEN, COMPACT_INPUTS

SHARES = (0.98, 0.95, 0.92, 0.90, 0.88, 0.85, 0.82, 0.80, 0.78, 0.75, 0.72, 0.70, 0.60, 0.50, 0.30)
#: Share of the inputs that are active at the start: not all zero in the mini-batch, and gate open.
ACTIVE_INPUTS = 0.65

PIECES = {
    "list rows": workloads.ROWS,
    "sample gates": workloads.GATES,
    "list active units": workloads.NONZERO | workloads.LISTS,
    "gather rows": workloads.GATHER,
    "forward": workloads.FORWARD,
    "loss": workloads.LOSS,
    "backward": workloads.BACKWARD,
    "update": workloads.UPDATE,
}


def seconds(run, **arguments):
    start = time.thread_time()
    run(**arguments)
    return time.thread_time() - start


def breaking_even(images, n_rounds):
    """Time of a whole mini-batch over that of a compact one, by share of open gates."""
    for widths in workloads.WIDTHS:
        for kind, other in (("inputs", 1.0), ("hidden", 1.0), ("hidden", ACTIVE_INPUTS)):
            for share in SHARES:
                inputs, hidden = (share, other) if kind == "inputs" else (other, share)
                batches = workloads.Minibatches(widths, images, inputs, hidden)
                # Inputs that are compacted anyway make the step go row by row anyway.
                common = {"compact_inputs": other < 1.0}
                compact = {**common, f"compact_{kind}": True}
                batches.run(**common)
                batches.run(**compact)
                times = np.array(
                    [
                        (seconds(batches.run, **common), seconds(batches.run, **compact))
                        for _ in range(n_rounds)
                    ]
                )
                low, middle, high = np.quantile(times[:, 0] / times[:, 1], [0.25, 0.5, 0.75])
                whole, packed = np.median(times, axis=0) / batches.n_batches * 1e6
                yield {
                    "widths": workloads.name_of(widths),
                    "compacted": kind,
                    "share_open": share,
                    "share_of_inputs": inputs,
                    "whole_us": f"{whole:.1f}",
                    "compact_us": f"{packed:.1f}",
                    "speedup": f"{middle:.3f}",
                    "speedup_q1": f"{low:.3f}",
                    "speedup_q3": f"{high:.3f}",
                }


def pieces(images, n_rounds):
    """Microseconds of each piece of a mini-batch with nearly all gates open, and of its BLAS."""
    for widths in workloads.WIDTHS:
        # So many rows that they come from memory, not from a cache.
        batches = workloads.Minibatches(widths, images, 0.998, 0.998, n_batches=128)
        limits = (COMPACT_INPUTS, COMPACT_HIDDEN)
        batches.run(limits=limits, pieces=workloads.ALL_PIECES)
        products = workloads.Products(batches.n_active, batches.n_batches)
        products.run()
        times = {name: [] for name in [*PIECES, "all together", "bare products"]}
        for _ in range(n_rounds):
            for name, piece in PIECES.items():
                # Rows that are not listed anew would come from a cache.
                piece |= workloads.ROWS if name == "gather rows" else 0
                times[name].append(seconds(batches.run, limits=limits, pieces=piece))
            times["all together"].append(
                seconds(batches.run, limits=limits, pieces=workloads.ALL_PIECES)
            )
            times["bare products"].append(seconds(products.run))
        for name, values in times.items():
            yield {
                "widths": workloads.name_of(widths),
                "piece": name,
                "us": f"{np.median(values) / batches.n_batches * 1e6:.1f}",
            }


def by_shape(n_rounds):
    """GFLOP/s of single products, in register tiles and in BLAS, on one thread."""
    rng = np.random.default_rng(0)
    for n_in, n_out in (
        (784, 300),
        (531, 300),
        (300, 100),
        (219, 214),
        (97, 71),
        (71, 33),
        (33, 10),
    ):
        for product, shape in workloads.SHAPES.items():
            trans_a, trans_b, m, n, k = shape(n_in, n_out)
            n_calls = int(3e8 / (2 * m * n * k)) + 1
            a, b, out = (
                rng.standard_normal(size + 64).astype(np.float32)
                for size in (m * k, k * n, m * (n + 16))
            )
            blas = np.array([(trans_a, trans_b, m, n, k)], np.int64)
            runs = {
                "tiles": partial(
                    workloads.multiply_in_tiles_, n_calls, trans_a, m, n, k, a, b, out
                ),
                "BLAS": partial(workloads.multiply_, blas, a, b, out, n_calls),
            }
            times = {name: [] for name in runs}
            for run in runs.values():
                run()
            for _ in range(n_rounds):
                for name, run in runs.items():
                    times[name].append(seconds(run))
            speeds = {
                name: 2e-9 * m * n * k * n_calls / np.median(values)
                for name, values in times.items()
            }
            yield {
                "layer": f"{n_in}-{n_out}",
                "product": product,
                **{f"{name}_gflops": f"{speed:.1f}" for name, speed in speeds.items()},
            }


def write(name, rows):
    workloads.RESULTS.mkdir(exist_ok=True)
    with (workloads.RESULTS / name).open("w", newline="") as file:
        writer = None
        for row in rows:
            if writer is None:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                writer.writeheader()
            writer.writerow(row)
            print(*row.values(), sep="\t", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="turns (default: %(default)s)")
    n_rounds = parser.parse_args().rounds
    images = workloads.scaled(workloads.load_images()[0])
    with threadpool_limits(1, user_api="blas"):
        write("by_shape.csv", by_shape(n_rounds))
        write("pieces.csv", pieces(images, n_rounds))
        write("break_even.csv", breaking_even(images, n_rounds))


if __name__ == "__main__":
    main()
