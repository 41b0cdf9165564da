"""Thousands of random estimators, rows and calls: each is done as it should be, or refused.

    python benches/reliability/fuzz.py [--cases 6000] [--seed 0] [--out FILE.csv]

Every case is an estimator with random parameters and up to six calls of fit, partial_fit, predict,
predict_proba, score, transform and so on, with rows in every dtype, memory layout and sparse
format, with wrong parameters and wrong rows, stored and loaded in between
(`tests/fuzzing.py`). What has to hold:

* no crash, no warning of NumPy, and no error but a ValueError or TypeError that names the
  parameter, X or y;
* what is refused leaves the estimator as it was;
* weights, losses, scores and predictions are finite numbers of the right shape, of rows with any
  finite numbers;
* the same numbers in another container give the same network bit for bit, and the same error;
* sizes and memory budgets are kept.

hypothesis draws the cases, and shrinks those that fail, in chunks: a failure is shown, and the
next chunk begins. Counts go to ``results/reliability/fuzz.csv``: calls of both the estimator
and its twin, containers and dtypes by call, refusals by what was wrong.
"""

import argparse
import collections
import csv
import os
import pathlib
import sys
import time
import traceback

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests"))

import fuzzing
from hypothesis import HealthCheck, given, seed, settings

RESULTS = pathlib.Path(__file__).resolve().parents[1] / "results" / "reliability"
CHUNK = 250


def run_chunk(n_cases, number, counts):
    """Try some cases; return what is to be said of a failure, or None."""

    @seed(number)
    @settings(
        max_examples=n_cases, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(fuzzing.cases())
    def run(case):
        fuzzing.live(case, counts)

    try:
        run()
    except Exception:
        return traceback.format_exc()
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS / "fuzz.csv")
    args = parser.parse_args()

    counts, failures, start = collections.Counter(), 0, time.perf_counter()
    for number, first in enumerate(range(0, args.cases, CHUNK)):
        failure = run_chunk(min(CHUNK, args.cases - first), args.seed + number, counts)
        if failure:
            failures += 1
            print(failure, flush=True)
        done = sum(n for (what, _), n in counts.items() if what.endswith(", done"))
        print(f"{first + CHUNK} cases, {done} calls done, {failures} failures", flush=True)
    rows = [(what, name, n) for (what, name), n in sorted(counts.items())]
    rows += [
        ("calls done", "", sum(n for what, _, n in rows if what.endswith(", done"))),
        ("calls refused", "", sum(n for what, _, n in rows if what.endswith(", refused"))),
        ("failures", "", failures),
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("what", "which", "count"))
        writer.writerows(rows)
    for what, name, n in rows[-3:]:
        print(what, name, n)
    print(f"{time.perf_counter() - start:.0f} s")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
