"""Fits while other processes keep processors busy, on one thread and on all of them.

    python benches/busy.py --data DIR [--rounds N]

A fit with helper threads shall never be much slower than one without. Writes
``results/busy.csv``: seconds of four epochs, by busy processes and threads.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import time
import warnings

import workloads

from fastl0 import HardL0MLPClassifier
from fastl0.estimators import build_config


def seconds_of_fit(X, y, hidden, n_threads):
    build_config.usable_threads = lambda: n_threads
    model = HardL0MLPClassifier(hidden, batch_size=128, max_iter=4, pruning="none", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(X, y)
    return time.perf_counter() - start


def measure(X, y, n_rounds):
    n_all = os.cpu_count()
    for n_busy in range(n_all + 1):
        others = [
            subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n_busy)
        ]
        try:
            for hidden in ((300, 100), (30, 20)):
                for number in range(n_rounds):
                    for n_threads in (1, n_all):
                        seconds = seconds_of_fit(X, y, hidden, n_threads)
                        yield {
                            "busy_processes": n_busy,
                            "hidden": "-".join(map(str, hidden)),
                            "threads": n_threads,
                            "round": number,
                            "seconds": f"{seconds:.4f}",
                        }
        finally:
            for other in others:
                other.kill()
                other.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="folder of the MNIST files (default: FASTL0_DATA)")
    parser.add_argument("--rounds", type=int, default=5, help="turns (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.data:
        os.environ["FASTL0_DATA"] = arguments.data
    X, y = workloads.load_images()
    X = workloads.scaled(X[:30_000])
    y = y[:30_000]
    seconds_of_fit(X, y, (30, 20), 1)
    rows = list(measure(X, y, arguments.rounds))
    with (workloads.RESULTS / "busy.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    groups = {}
    for row in rows:
        key = row["busy_processes"], row["hidden"]
        groups.setdefault(key, {}).setdefault(row["threads"], []).append(float(row["seconds"]))
    for (n_busy, hidden), by_threads in groups.items():
        one, *_, several = (statistics.median(seconds) for seconds in by_threads.values())
        print(
            f"{n_busy} busy, {hidden}: {one:.3f} s on one thread, {several / one:.2f} of it on all"
        )


if __name__ == "__main__":
    main()
