"""Whether a seed gives the same network bit for bit, in any process and on any number of threads.

    python benches/reliability/determinism.py [--seeds 100]

Five fresh processes fit every case of `fits.CASES` with every seed:

* on one thread (OMP_NUM_THREADS=1): what the others are compared with;
* again on one thread, in the opposite order, so that no fit follows upon the same ones;
* with OMP_NUM_THREADS=2, where fastl0 chooses mini-batch by mini-batch what is faster;
* with OMP_NUM_THREADS=2 in the environment and a limit of one thread by threadpoolctl;
* on two threads that are invited to share every mini-batch, whether that is faster or not.

A digest covers weights, biases, selected inputs, losses, scores and sizes of every epoch.
Mini-batches that threads have shared are counted.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys

import fits
from threadpoolctl import threadpool_limits

#: By name: OMP_NUM_THREADS, whether the order is the opposite one, and what surrounds the fits.
PROCESSES = {
    "one thread": (1, False, "nothing"),
    "one thread, opposite order": (1, True, "nothing"),
    "OMP_NUM_THREADS=2": (2, False, "nothing"),
    "threadpoolctl limit 1 of 2": (2, False, "limit"),
    "two threads always invited": (2, False, "invite"),
}
AROUND = {
    "nothing": contextlib.nullcontext,
    "limit": lambda: threadpool_limits(1),
    "invite": lambda: fits.always_invite(2),
}


def work(n_seeds, opposite, around):
    """Fit everything; print the digests by case and the shared mini-batches as JSON."""
    found = {case: [None] * n_seeds for case in fits.CASES}
    shared = {}
    tasks = [(case, seed) for case in fits.CASES for seed in range(n_seeds)]
    with AROUND[around]():
        for case, seed in reversed(tasks) if opposite else tasks:
            with fits.count_shared() as count:
                found[case][seed] = fits.digest_of(case, seed)
            shared[case] = shared.get(case, 0) + count.n_batches
    print(json.dumps({"digests": found, "shared": shared}))


def start(name, n_seeds):
    n_threads, opposite, around = PROCESSES[name]
    command = [sys.executable, __file__, "--work", str(n_seeds), str(int(opposite)), around]
    env = os.environ | {"OMP_NUM_THREADS": str(n_threads), "PYTHONHASHSEED": "random"}
    return json.loads(subprocess.check_output(command, text=True, env=env))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=100, help="seeds of each case")
    n_seeds = parser.parse_args().seeds
    rows, expected = [], None
    for name in PROCESSES:
        found = start(name, n_seeds)
        expected = expected or found["digests"]
        for case, digests in found["digests"].items():
            pairs = list(zip(digests, expected[case], strict=True))
            rows.append(
                {
                    "process": name,
                    "case": case,
                    "fits": n_seeds,
                    "identical": sum(a == b for a, b in pairs),
                    "different_networks": len(set(digests)),
                    "shared_mini_batches": found["shared"][case],
                }
            )
    fits.save("determinism", rows)
    for name in PROCESSES:
        of_it = [row for row in rows if row["process"] == name]
        same, all_ = (sum(row[key] for row in of_it) for key in ("identical", "fits"))
        shared = sum(row["shared_mini_batches"] for row in of_it)
        print(f"{name}: {same} of {all_} identical, {shared} mini-batches shared")
    sys.exit(any(row["identical"] < row["fits"] for row in rows))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4])
    else:
        main()
