"""Random lives of both estimators: fits, streams, predictions, changes, pickles -> CSV.

    python benches/reliability/fuzz.py [--cases 3000] [--seed 0]

The strategies, and what has to hold after each call, are those of `tests/fuzzing.py`: shapes,
dtypes, layouts, sparse formats, frames and parameters, each case lived through twice, in odd
containers and in plain arrays. Writes `results/reliability/fuzz.csv`, how often what was done or
refused, and prints every kind of failure with its smallest case; the exit status is 1 if there is
one.
"""

import argparse
import csv
import pathlib
import re
import sys
import time
from collections import Counter

from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

import fuzzing  # noqa: E402

PATH = ROOT / "benches" / "results" / "reliability" / "fuzz.csv"
FITS, PREDICTS = ("fit", "partial_fit"), ("predict", "score", "transform")


def live_through(n_cases, first):
    """Live through random cases; return what was counted, and the failures by their kind."""
    counts, failures = Counter(), {}

    @seed(first)
    @settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(fuzzing.cases())
    def run(case):
        try:
            fuzzing.live(case, counts)
        except Exception as error:
            kind = f"{type(error).__name__}: {re.sub(r'[0-9.e+-]+', '#', str(error))[:100]}"
            counts["FAILED", kind] += 1
            if len(repr(case)) < len(failures.get(kind, (" " * 10**9,))[0]):
                failures[kind] = repr(case), str(error)

    run()
    return counts, failures


def number_of(counts, names):
    """Calls that were done or refused; each is made twice."""
    return 2 * sum(
        n
        for name, n in counts.items()
        if str(name).startswith(tuple(f"{each}" for each in names))
        and ("done" in str(name) or "refused" in str(name))
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    counts, failures = live_through(options.cases, options.seed)
    with PATH.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("what", "times"))
        writer.writerows(sorted((str(name), n) for name, n in counts.items()))
    for kind, (case, message) in failures.items():
        print("FAILED", counts["FAILED", kind], kind, message, case, sep="\n  ")
    print(
        f"{counts['cases']} cases, {number_of(counts, FITS)} fits and "
        f"{number_of(counts, PREDICTS)} predictions, {len(failures)} kinds of failure "
        f"({time.perf_counter() - start:.0f} s)"
    )
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
