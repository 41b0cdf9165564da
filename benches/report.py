"""The table of `compare.py`'s measurements, and its pictures.

    python benches/report.py

Reads ``results/compare/*.csv``, writes ``summary.csv`` and two pictures beside them, and
prints the table in Markdown. Ratios are medians over the rounds, with their quartiles.
"""

import csv
import statistics
from collections import defaultdict

import numpy as np
import workloads

FOLDER = workloads.RESULTS / "compare"
FULL, SMALL = "784-300-100-10", "97-71-33-10"


def read(name):
    path = FOLDER / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def by_round(rows, *names, value="seconds"):
    """Values of each round, by what the columns `names` say."""
    table = defaultdict(dict)
    for row in rows:
        table[tuple(row[name] for name in names)][row["round"]] = float(row[value])
    return table


def threads(number):
    return f"{number} thread" + ("s" if number != "1" else "")


def spread(ratios):
    return [float(q) for q in np.quantile(ratios, [0.5, 0.25, 0.75])]


def against_best(table, own, others):
    """Ratios to that of `others` whose median is lowest, round by round; and its name."""
    others = [key for key in table if key in others]
    if own not in table or not others:
        return None, "not measured"
    best = min(others, key=lambda key: statistics.median(table[key].values()))
    ratios = [seconds / table[best][number] for number, seconds in table[own].items()]
    return spread(ratios), f"{best[1]}, {threads(best[2])}"


# --- the rows of the table -----------------------------------------------------------


def keys(network, *libraries):
    return [(network, name, str(n)) for name in libraries for n in (1, 2)]


# Each thread does half of every product, and nobody waits for anybody: no training could.
SPLIT = "BLAS products, mini-batch split"


def epoch_rows():
    table = by_round(read("epochs"), "network", "library", "threads")
    torch = ("PyTorch eager", "PyTorch compiled")
    soft = ("PyTorch soft L0 eager", "PyTorch soft L0 compiled")
    none, small = (FULL, "fastl0 none", "2"), (SMALL, "fastl0 hard", "2")
    yield "dense epoch against PyTorch", 0.75, 0.5, *against_best(table, none, keys(FULL, *torch))
    others = keys(FULL, "scikit-learn")
    yield "dense epoch against scikit-learn", 0.25, 0.15, *against_best(table, none, others)
    found = against_best(table, (FULL, "fastl0 soft", "2"), keys(FULL, *soft))
    yield "soft epoch against a soft L0 network in PyTorch", 0.5, 0.3, *found
    for own, kind, must, goal in ((none, "dense", 1.25, 1.0), (small, "hard", 2.0, 1.3)):
        for products in ("BLAS products", SPLIT):
            found = against_best(table, own, keys(own[0], products))
            yield f"{kind} epoch against its bare products, {own[0]}", must, goal, *found


def training_rows():
    rows = read("training")
    own = sum(float(row["seconds"]) for row in rows if row["library"] == "fastl0 hard")
    for name, must, goal in (("PyTorch soft L0", 1 / 8, 1 / 15), ("scikit-learn", 1 / 15, 1 / 30)):
        seconds = defaultdict(list)
        for row in rows:
            if row["library"].startswith(name):
                seconds[row["library"], row["threads"]].append(float(row["seconds"]))
        if seconds and own:
            best = min(seconds, key=lambda key: statistics.median(seconds[key]))
            ratios = [own / (500 * s) for s in seconds[best]]
            others = (
                f"500 x {statistics.median(seconds[best]):.2f} s: {best[0]}, {threads(best[1])}"
            )
            what = f"500 hard epochs ({own:.0f} s) against {name}"
            yield what, must, goal, spread(ratios), others


def shrinking_rows():
    rounds = defaultdict(list)
    for row in read("shrinking"):
        rounds[row["round"]].append((int(row["n_parameters"]), float(row["seconds"])))
    ratios = []
    for history in rounds.values():
        whole = [seconds for n, seconds in history if n >= 0.9 * history[0][0]]
        small = [seconds for n, seconds in history if n <= 0.1 * history[0][0]]
        ratios += [statistics.median(small[:5]) / statistics.median(whole)] if small else []
    if ratios:
        yield (
            "epoch at a tenth of the parameters against those at full size",
            0.3,
            0.15,
            spread(ratios),
            "",
        )


def predicting_rows():
    rows = read("predicting")
    size = {row["library"]: row["n_parameters"] for row in rows}
    table = by_round(rows, "library", "dtype", value="microseconds")
    for library, dtype in sorted(table):
        if library != "scikit-learn":
            other = table["scikit-learn", dtype]
            ratios = [us / other[number] for number, us in table[library, dtype].items()]
            what = f"one-row `predict_proba`, {library}, {size[library]} parameters, {dtype}"
            yield what, 0.5, 0.2, spread(ratios), f"{statistics.median(other.values()):.0f} us"


def starting_rows():
    table = by_round(read("starting"), "what")
    if not table:
        return
    load, other = table["load a model and predict",], table["import MLPClassifier",]
    ratios = [seconds / other[number] for number, seconds in load.items()]
    seconds = f"{statistics.median(other.values()):.2f} s"
    yield (
        "load a model and predict against importing MLPClassifier",
        1.0,
        0.7,
        spread(ratios),
        seconds,
    )


def rows_rows():
    rows = read("rows")
    if not rows:
        return
    growth = {row["n_rows"]: float(row["growth_mib"]) for row in rows if row["growth_mib"]}
    few, most = min(growth, key=int), max(growth, key=int)
    difference = (growth[most] - growth[few]) * 1.048576
    yield f"memory of a fit, {most} rows less {few}, MB", 10.0, None, [difference], ""
    table = by_round(rows, "n_rows")
    for n_rows in sorted(growth, key=int)[1:]:
        ratios = [
            seconds / table[few,][number] / (int(n_rows) / int(few))
            for number, seconds in table[n_rows,].items()
        ]
        yield f"epoch time a row, {n_rows} rows against {few}", 1.1, None, spread(ratios), ""


def summary():
    for part in (
        epoch_rows, training_rows, predicting_rows, starting_rows, rows_rows, shrinking_rows
    ):  # fmt: skip
        for what, must, goal, values, beside in part():
            if values is None:
                yield {"measure": what, "beside": beside}
                continue
            row = {"measure": what}
            row |= {n: f"{v:.3g}" for n, v in zip(("median", "q1", "q3"), values, strict=False)}
            row |= {"must": f"{must:.3g}", "goal": f"{goal:.3g}" if goal else ""}
            good = goal is not None and values[0] <= goal
            row["met"] = "goal" if good else "yes" if values[0] <= must else "no"
            yield row | {"beside": beside}


def print_table(rows):
    print("| measure | median | quartiles | must | goal | met | beside |\n" + "|---" * 7 + "|")
    for row in rows:
        quartiles = f"{row['q1']} to {row['q3']}" if "q1" in row else ""
        cells = [row["measure"], row.get("median", ""), quartiles]
        cells += [row.get(name, "") for name in ("must", "goal", "met", "beside")]
        print("| " + " | ".join(cells) + " |")


# --- pictures ------------------------------------------------------------------------


def draw_epochs(plt):
    table = by_round(read("epochs"), "network", "library", "threads")
    networks = list(dict.fromkeys(key[0] for key in table))
    figure, axes = plt.subplots(1, len(networks), figsize=(15, 5), layout="constrained")
    for ax, network in zip(np.atleast_1d(axes), networks, strict=True):
        own = {key: spread(list(v.values())) for key, v in table.items() if key[0] == network}
        order = sorted(own, key=lambda key: -own[key][0])
        middles = np.array([own[key][0] for key in order])
        low, high = (np.array([own[key][k] for key in order]) for k in (1, 2))
        colours = ["C0" if key[1].startswith("fastl0") else "0.6" for key in order]
        labels = [f"{key[1]}, {threads(key[2])}" for key in order]
        ax.barh(labels, middles, color=colours, xerr=[middles - low, high - middles])
        for place, (value, end) in enumerate(zip(middles, high, strict=True)):
            ax.text(end, place, f" {value:.3g}", va="center", fontsize=8)
        ax.set(title=network, xlabel="seconds of an epoch of 60,000 rows")
        ax.margins(x=0.15)
        ax.tick_params(axis="y", labelsize=8)
    figure.savefig(FOLDER / "epochs.png", dpi=110)


def draw_shrinking(plt):
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    rounds = defaultdict(list)
    for row in read("shrinking"):
        rounds[row["round"]].append((int(row["n_parameters"]), float(row["seconds"])))
    for history in rounds.values():
        sizes, seconds = np.array(history).T
        axes[0].plot(sizes, seconds, ".", color="C0", alpha=0.4)
    axes[0].set(xlabel="parameters", ylabel="seconds of the epoch", xscale="log", ylim=(0, None))
    axes[0].set_title("epoch time while a network shrinks")
    own, others = [], defaultdict(list)
    for row in read("training"):
        if row["library"] == "fastl0 hard":
            own.append(float(row["seconds"]))
        else:
            others[row["library"], row["threads"]].append(float(row["seconds"]))
    axes[1].plot(np.cumsum(own), label="fastl0 hard", color="C0")
    for (name, n_threads), seconds in others.items():
        line = np.arange(len(own) + 1) * statistics.median(seconds)
        axes[1].plot(line, "--", label=f"{name}, {threads(n_threads)}", linewidth=1)
    axes[1].set(xlabel="epoch", ylabel="seconds since the start", title="500 epochs of MNIST")
    axes[1].legend(fontsize=8)
    figure.savefig(FOLDER / "training.png", dpi=110)


def main():
    rows = list(summary())
    with (FOLDER / "summary.csv").open("w", newline="") as file:
        names = ("measure", "median", "q1", "q3", "must", "goal", "met", "beside")
        writer = csv.DictWriter(file, names, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(rows)
    print_table(rows)
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    if read("epochs"):
        draw_epochs(plt)
    if read("training") and read("shrinking"):
        draw_shrinking(plt)


if __name__ == "__main__":
    main()
