"""Whether fits at the same time, in threads and in processes of every kind, disturb each other.

    python benches/reliability/concurrency.py [--rounds 5]

Every fit is compared bit for bit with the same fit done alone, and is followed by a prediction.
Each round does:

* 16 threads at once, with as many helper threads as fastl0 chooses, and again with one helper
  that each of them always invites, 32 threads in all;
* 16 fits in four worker processes of `multiprocessing` (by fork, spawn and forkserver) and of
  joblib's loky, while two threads of this process fit;
* 16 children by `os.fork` alone, one after the other, while two threads fit with helpers.

A fit that takes longer than two minutes counts as hanging, one whose process dies as aborted.
"""

import argparse
import concurrent.futures as futures
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, nullcontext

import fits
from joblib.externals import loky

N_WORKERS = 4
PATIENCE = 120.0  # seconds
#: Every case with a seed of its own, and the first one with another.
TASKS = [*((case, seed) for seed, case in enumerate(fits.CASES)), (next(iter(fits.CASES)), 99)]
OUTCOMES = ("same", "different", "raised", "hanging", "aborted")


def outcome(task, expected):
    """Fit; tell how that ended."""
    try:
        return "same" if fits.digest_of(*task) == expected else "different"
    except Exception as error:
        print(f"{task} raised {error!r}", file=sys.stderr, flush=True)
        return "raised"


def in_threads(expected):
    """Outcomes of threads that begin together."""
    barrier, found = threading.Barrier(len(TASKS)), ["hanging"] * len(TASKS)

    def fit(number):
        barrier.wait()
        found[number] = outcome(TASKS[number], expected[number])

    threads = [threading.Thread(target=fit, args=[n], daemon=True) for n in range(len(TASKS))]
    for thread in threads:
        thread.start()
    join(threads)
    return list(found)


def join(threads):
    """Wait for threads; return whether all have ended."""
    end = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


@contextmanager
def beside_fits(expected, found):
    """Let two threads fit again and again meanwhile; add their outcomes to `found`."""
    stop = threading.Event()

    def fit_again(number):
        while not stop.is_set():
            found.append(outcome(TASKS[number], expected[number]))

    threads = [threading.Thread(target=fit_again, args=[n], daemon=True) for n in (0, 3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        if not join(threads):
            found.append("hanging")


def in_workers(executor, expected):
    """Outcomes of fits in worker processes, which are killed if they hang."""
    end = time.monotonic() + PATIENCE
    jobs = [executor.submit(outcome, *pair) for pair in zip(TASKS, expected, strict=True)]
    found = []
    for job in jobs:
        try:
            found.append(job.result(max(0.0, end - time.monotonic())))
        except (futures.TimeoutError, TimeoutError):
            found.append("hanging")
        except futures.BrokenExecutor:
            found.append("aborted")
    if "hanging" in found:
        for process in multiprocessing.active_children():
            process.kill()
    executor.shutdown()
    return found


def by_fork_alone(expected):
    """Outcomes of children forked at any moment of the fits beside them."""
    found = []
    for number, pair in enumerate(zip(TASKS, expected, strict=True)):
        time.sleep(0.007 * number)  # so that each fork finds those fits somewhere else
        child = os.fork()
        if child == 0:
            code = OUTCOMES.index("aborted")
            try:
                code = OUTCOMES.index(outcome(*pair))
            finally:
                os._exit(code)
        found.append(outcome_of_child(child))
    return found


def outcome_of_child(child):
    """Wait for a child process; kill it if it hangs."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return OUTCOMES[code] if 0 <= code < len(OUTCOMES) else "aborted"
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hanging"


def processes(method):
    context = multiprocessing.get_context(method)
    return futures.ProcessPoolExecutor(N_WORKERS, mp_context=context)


#: By name: what is done, and how many helpers are always invited (None: as many as pay).
WAYS = {
    "16 threads": (in_threads, None),
    "16 threads with helpers": (in_threads, 2),
    **{
        f"workers by {method}": (lambda e, m=method: in_workers(processes(m), e), 2)
        for method in ("fork", "spawn", "forkserver")
    },
    "workers of loky": (lambda e: in_workers(loky.ProcessPoolExecutor(N_WORKERS), e), 2),
    "children by os.fork": (by_fork_alone, 2),
}


def run(name, expected, n_rounds):
    """A row of figures."""
    way, n_threads = WAYS[name]
    found, beside, n_shared = [], [], 0
    start = time.perf_counter()
    for _ in range(n_rounds):
        with (
            fits.always_invite(n_threads) if n_threads else fits.count_shared() as shared,
            nullcontext() if way is in_threads else beside_fits(expected, beside),
        ):
            found += way(expected)
        n_shared += shared.n_batches
    seconds = time.perf_counter() - start
    counts, of_beside = Counter(found), Counter(beside)
    row = {"way": name, "fits": len(found)} | {key: counts[key] for key in OUTCOMES}
    row |= {"fits_beside": len(beside), "beside_same": of_beside["same"]}
    return row | {"shared_mini_batches_here": n_shared, "seconds": f"{seconds:.0f}"}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of 16 fits for each way")
    n_rounds = parser.parse_args().rounds
    with fits.always_invite(1):
        expected = [fits.digest_of(*task) for task in TASKS]
    rows = []
    for name in WAYS:
        rows.append(run(name, expected, n_rounds))
        print(f"{name}: {rows[-1]['same']} of {rows[-1]['fits']} the same", flush=True)
    fits.save("concurrency", rows)
    good = all(
        row["same"] == row["fits"] and row["beside_same"] == row["fits_beside"] for row in rows
    )
    # Not by way of the threads that may hang.
    sys.stdout.flush()
    os._exit(not good)


if __name__ == "__main__":
    main()
