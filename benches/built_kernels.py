"""Time of an epoch with the built kernels over that with those of the JIT, in one run.

    python benches/built_kernels.py --data DIR [--rounds 15]

Two processes take turns, epoch by epoch, in changing order; all else is as in `libraries.py`.
Writes results/built_kernels.csv. Nothing else should run meanwhile.
"""

import argparse
import csv
import os
import pathlib

import compare
import numpy as np
import workloads

RESULTS = pathlib.Path(__file__).parent / "results" / "built_kernels.csv"
NETWORKS = (workloads.WHOLE, workloads.WIDTHS[-1])
PRUNINGS = ("none", "hard")


def turns(widths, pruning, n_threads, arguments):
    processes = []
    for jit in "01":
        os.environ["FASTL0_JIT"] = jit
        processes.append(compare.Library(f"fastl0 {pruning}", widths, n_threads, arguments.data))
    for number in range(arguments.rounds):
        order = (0, 1) if number % 2 else (1, 0)
        seconds = {k: processes[k].epoch() for k in order}
        yield {
            "network": workloads.name_of(widths),
            "pruning": pruning,
            "threads": n_threads,
            "round": number,
            "built_s": f"{seconds[0]:.6f}",
            "jit_s": f"{seconds[1]:.6f}",
        }
    for process in processes:
        process.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("FASTL0_DATA"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    rows = []
    for widths in NETWORKS:
        for pruning in PRUNINGS:
            for n_threads in sorted({1, arguments.threads}):
                own = list(turns(widths, pruning, n_threads, arguments))
                ratios = [float(row["built_s"]) / float(row["jit_s"]) for row in own]
                low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
                name = f"{workloads.name_of(widths)} {pruning}, {n_threads} threads"
                print(f"{name}: {middle:.3f} ({low:.3f} to {high:.3f})", flush=True)
                rows += own
    with RESULTS.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
