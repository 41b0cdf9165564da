"""Reduce pytest-benchmark's JSON to one small CSV in results/ for each bench file.

python benches/table.py FILE.json ...
"""

import csv
import json
import pathlib
import sys

RESULTS = pathlib.Path(__file__).parent / "results"


def read(path):
    """Rows by name of bench file: what was measured, its median and quartiles in seconds."""
    report = json.loads(pathlib.Path(path).read_text())
    tables = {}
    for benchmark in report["benchmarks"]:
        name = pathlib.Path(benchmark["fullname"].partition("::")[0]).stem.removeprefix("bench_")
        stats = benchmark["stats"]
        row = {"group": benchmark["group"], "benchmark": benchmark["name"]}
        row |= {f"{key}_s": f"{stats[key]:.4g}" for key in ("median", "q1", "q3")}
        row |= {"rounds": stats["rounds"], "timer": benchmark["options"]["timer"]}
        row["date"] = report["datetime"][:10]
        tables.setdefault(name, []).append(row)
    return tables


def main():
    if not sys.argv[1:]:
        sys.exit(__doc__)
    RESULTS.mkdir(exist_ok=True)
    for path in sys.argv[1:]:
        for name, rows in read(path).items():
            with (RESULTS / f"{name}.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0], lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)


if __name__ == "__main__":
    main()
