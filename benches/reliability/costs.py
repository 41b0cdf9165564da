"""What a copy to go back to and a checkpoint cost an epoch, at most: 784-300-100-10 as a whole.

    python benches/reliability/costs.py [--rounds 15] [--out FILE.csv]

Epochs on MNIST (folder in FASTL0_DATA, else random images) on one thread, that take turns with
the copy and without it; also the copying by itself, which is less than epochs differ by chance.
CPU time, which other processes disturb less than the clock on the wall, and that clock: a disk
takes no CPU time. The least of all rounds.
"""

import argparse
import csv
import functools
import os
import pathlib
import sys
import tempfile
import time

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import workloads

from fastl0.checkpoint.store import CheckpointStore

RESULTS = pathlib.Path(__file__).parents[1] / "results" / "reliability"


def timed(function):
    """CPU and wall-clock seconds of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    function()
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(pruning, X, y, n_rounds, folder):
    """Seconds by what was measured, one a round, and the bytes of a checkpoint."""
    times = {"plain epoch": [], "epoch with a copy": [], "copying": [], "checkpoint": []}
    with (
        workloads.Epoch(workloads.WHOLE, pruning, X, y) as epoch,
        CheckpointStore(folder, {"pruning": pruning}) as checkpoints,
    ):
        buffers = epoch.trainer.buffers

        def run(with_copy):
            buffers.allow_snapshot(with_copy)
            times["epoch with a copy" if with_copy else "plain epoch"].append(timed(epoch.run))

        epoch.run()
        for number in range(n_rounds):
            run(number % 2 == 0)
            run(number % 2 == 1)
            buffers.allow_snapshot(True)
            buffers.save_snapshot()
            times["copying"].append(timed(buffers.save_snapshot))
            state = buffers.state()
            times["checkpoint"].append(timed(functools.partial(checkpoints.save, number, state)))
            del state
        n_bytes = max(path.stat().st_size for path in checkpoints.folder.glob("epoch-*"))
    return times, n_bytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS / "costs.csv")
    options = parser.parse_args()
    X, y = workloads.load_images()
    X, rows = workloads.scaled(X), []
    with tempfile.TemporaryDirectory() as folder:
        for pruning in ("hard", "none"):
            times, n_bytes = measure(pruning, X, y, options.rounds, folder)
            plain = min(cpu for cpu, _ in times["plain epoch"])
            for name, pairs in times.items():
                cpu, wall = map(min, zip(*pairs, strict=True))
                row = {"pruning": pruning, "what": name, "cpu_s": f"{cpu:.3g}"}
                row |= {"wall_s": f"{wall:.3g}", "of_a_plain_epoch": f"{cpu / plain:.4f}"}
                rows.append(row | {"bytes": n_bytes if name == "checkpoint" else ""})
                print(*rows[-1].values())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
