"""Whether a process that fits again and again grows: memory, threads, open files.

    python benches/reliability/leaks.py [--fits 1000]

Processes that each fit many small networks of all kinds in turn, and in each round also try
some fits that fail, on two threads that share mini-batches. After a warm-up, and then after
every round, a process counts what it holds:

* ``malloc``: bytes allocated and not freed, by glibc's count; with PYTHONMALLOC=malloc it has
  those of every Python object too;
* ``anonymous``: resident memory that is not a page of a file (RssAnon);
* ``tracemalloc``: bytes that Python and NumPy have allocated and not freed, in a process of its
  own, since tracing takes memory itself;
* threads and open file descriptors.

The slope is that of a straight line through the counts. Two more
processes, of a quarter of the fits, keep 64 bytes of every fit on purpose: what the same
measures make of that.
"""

import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys
import tracemalloc

import fits
import numpy as np

from fastl0 import HardL0MLPClassifier

MEASURES = ("malloc", "anonymous", "tracemalloc", "threads", "files")
N_WARM_UP = 10  # rounds
PLANTED = 64  # bytes
EMPTY = sys.getsizeof(b"")


# --- the measuring process -----------------------------------------------------------


class Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


mallinfo = ctypes.CDLL(None).mallinfo2
mallinfo.restype = Mallinfo


#: Python remembers up to 4096 look-ups of attributes and keeps their names: that takes thousands
#: of fits to fill, and has an end.
clear_cache = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache


def count():
    """What this process holds now, in the order of `MEASURES`."""
    gc.collect()
    clear_cache()
    info = mallinfo()
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    return (
        info.uordblks + info.hblkhd,
        int(status["RssAnon"].split()[0]) * 1024,
        tracemalloc.get_traced_memory()[0],
        int(status["Threads"]),
        len(os.listdir("/proc/self/fd")),
    )


def fail_in_every_way():
    """Fits that raise: before training, for the sake of a parameter, and amid it."""
    X, y = fits.data("float32")
    with_nan = X.copy()
    with_nan[3, 4] = np.nan
    for settings, rows, targets in (
        ({"lam": -1.0}, X, y),
        ({"memory_budget": "1kB"}, X, y),
        ({}, with_nan, y),
        ({}, X, np.full(len(X), np.nan)),
        ({"pruning": "none"}, X * np.float32(1e30), y),
    ):
        try:
            HardL0MLPClassifier(**fits.COMMON | settings).fit(rows, targets)
        except ValueError:
            continue
        raise AssertionError(f"{settings} did not raise")


N_FAILURES = 5


def watch(n_fits, traced, n_planted):
    """Fit, count after each round, and print the counts and what was done as JSON."""
    n_each = len(fits.CASES) + N_FAILURES
    n_rounds = -(-n_fits // n_each)
    # Room from the start: what is noted down must not grow itself.
    counts = np.zeros((n_rounds + 1, len(MEASURES)), np.int64)
    kept = []
    if traced:
        tracemalloc.start()
    with fits.always_invite(2) as shared:
        for number in range(-N_WARM_UP + 1, n_rounds + 1):
            for seed, case in enumerate(fits.CASES):
                fits.digest_of(case, seed)
            fail_in_every_way()
            if n_planted:
                kept += [bytes(n_planted - EMPTY) for _ in range(n_each)]
            if number >= 0:
                counts[number] = count()
    done = {"fits": n_rounds * n_each, "failed": n_rounds * N_FAILURES, "shared": shared.n_batches}
    print(json.dumps(done | {"counts": counts.tolist()}))


# --- the figures ---------------------------------------------------------------------


def slope(n_each, counts):
    """Bytes a fit: slope of the line through `counts`, and its standard error."""
    n_fits = n_each * np.arange(len(counts))
    (rise, _), covariance = np.polyfit(n_fits, counts, 1, cov=True)
    return rise, covariance[0, 0] ** 0.5


def measure(n_fits, traced=False, n_planted=0):
    """Rows of figures of one process."""
    command = [sys.executable, __file__, "--watch", str(n_fits), str(int(traced)), str(n_planted)]
    env = os.environ if traced else os.environ | {"PYTHONMALLOC": "malloc"}
    report = json.loads(subprocess.check_output(command, text=True, env=env))
    counts = report["counts"]
    n_each = report["fits"] // (len(counts) - 1)
    rows = []
    for name in ["tracemalloc"] if traced else ["malloc", "anonymous", "threads", "files"]:
        values = [c[MEASURES.index(name)] for c in counts]
        rise, error = slope(n_each, values)
        row = {"measure": name, "planted_bytes_per_fit": n_planted}
        row |= {"fits": report["fits"], "of_them_failing": report["failed"]}
        row |= {"first": values[0], "last": values[-1], "least": min(values), "most": max(values)}
        row |= {"slope_per_fit": f"{rise:.3f}", "standard_error": f"{error:.3f}"}
        rows.append(row | {"shared_mini_batches": report["shared"]})
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fits", type=int, default=1000, help="fits of each process")
    n_fits = parser.parse_args().fits
    rows = []
    for n_planted, n in ((0, n_fits), (PLANTED, n_fits // 4)):
        for traced in (False, True):
            rows += measure(n, traced, n_planted)
    fits.save("leaks", rows)
    grown = [row for row in rows if not row["planted_bytes_per_fit"] and has_grown(row)]
    sys.exit(f"{len(grown)} counts grow with the fits." if grown else 0)


def has_grown(row):
    """Whether a count grows by more than what noise and a byte a fit can be.

    Not that of pages, which comes in steps: what is allocated decides.
    """
    if row["measure"] == "anonymous":
        return False
    return float(row["slope_per_fit"]) > 1.0 + 4.0 * float(row["standard_error"])


if __name__ == "__main__":
    if sys.argv[1:2] == ["--watch"]:
        watch(*map(int, sys.argv[2:]))
    else:
        main()
