"""Where compaction breaks even, and what the pieces of a mini-batch cost: writes two tables.

    python benches/sweep.py [--rounds N]

Compact and whole mini-batches take turns, and their ratio is taken within each turn, so
that a busy machine disturbs both alike. `epoch.COMPACT_INPUTS` and `epoch.COMPACT_HIDDEN`
come from here. Real images: FASTL0_DATA.
"""

import argparse
import csv
import time

import numpy as np
import workloads

from fastl0.epoch import COMPACT_HIDDEN, COMPACT_INPUTS
from fastl0.threads import single_threaded_blas

SHARES = (0.98, 0.95, 0.92, 0.90, 0.88, 0.85, 0.82, 0.80, 0.78, 0.75, 0.72, 0.70, 0.60, 0.50, 0.30)
#: Share of the inputs that are active at the start: lit in the mini-batch, and gate open.
LIT = 0.65

PIECES = {
    "sample gates": workloads.GATES,
    "list active units": workloads.LIT | workloads.LISTS,
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
        for kind, other in (("inputs", 1.0), ("hidden", 1.0), ("hidden", LIT)):
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
        products = workloads.Products([int(n) for n in batches.n_active], batches.n_batches)
        products.run()
        times = {name: [] for name in [*PIECES, "all together", "bare products"]}
        for _ in range(n_rounds):
            for name, piece in PIECES.items():
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
    with single_threaded_blas():
        write("pieces.csv", pieces(images, n_rounds))
        write("break_even.csv", breaking_even(images, n_rounds))


if __name__ == "__main__":
    main()
