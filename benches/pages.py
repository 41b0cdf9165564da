"""Tables and pictures of the evidence in the documentation, out of ``results/``.

    python benches/pages.py [FOLDER]

``make docs`` calls this for each build, so that no page can say something else than the CSV files
do. Writes one file in reStructuredText for each table, and the pictures, to FOLDER (default:
``docs/evidence/tables``, which git ignores); the pages in ``docs/evidence`` include them. Needs
NumPy, and matplotlib for the pictures. A new table is a function below that carries ``@table``.
"""

import csv
import pathlib
import sys
from collections import defaultdict

import numpy as np

BENCHES = pathlib.Path(__file__).parent
RESULTS = BENCHES / "results"
FOLDER = BENCHES.parent / "docs" / "evidence" / "tables"

TABLES, PICTURES = {}, {}

#: Tables whose last column asks whether fastl0 is ahead: the page, and what is compared.
COMPARISONS = {
    "beside_others": ("speed", "time beside other libraries"),
    "busy": ("speed", "two threads beside one, on busy processors"),
    "defaults": ("accuracy", "default network beside one that is not pruned: score"),
    "frontier": ("accuracy", "MNIST beside published results: error"),
    "few_updates": ("few_updates", "few epochs or rows, beside no pruning: score"),
    "selection": ("selection", "madelon, own network beside boosting on all inputs: score"),
    "path_costs": ("paths", "a path beside separate fits: time"),
    "path_scores": ("paths", "a path beside separate fits: score"),
    "stream": ("streams", "one row of a stream, beside scikit-learn: time"),
}

#: What ``make frontier`` is shown beside: Gallego-Posada et al. 2022, arXiv 2208.04425, test
#: errors of five seeds after the last epoch. By size asked for: parameters, error, its SD.
PUBLISHED = {70_000: (70_854, 1.77, 0.08), 27_000: (28_237, 2.03, 0.13), 9_700: (9_091, 2.82, 0.31)}


def table(command, *files):
    """Decorate a function that returns the header and the rows of a table.

    Parameters
    ----------
    command : str
        What makes the numbers.
    files : str
        The CSV files that they are in, within ``results/``.
    """

    def register(function):
        TABLES[function.__name__] = (function, command, files)
        return function

    return register


def picture(function):
    """Decorate a function that takes pyplot and returns a figure."""
    PICTURES[function.__name__] = function
    return function


# --- reading and counting ------------------------------------------------------------


def read(name):
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def grouped(rows, *names):
    """Rows by what the columns `names` say, in the order of the file."""
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups


def column(rows, name):
    return np.array([float(row[name]) for row in rows if row[name] != ""])


def significant(value):
    """Three digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def quartiles(values, write=significant):
    """Median and quartiles."""
    low, middle, high = (write(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
    return f"{middle} ({low} to {high})"


def mean(values, digits=2, sign=""):
    """Mean and standard deviation."""
    text = f"{np.round(np.mean(values), digits) + 0.0:{sign},.{digits}f}"  # no -0.00
    spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return text if spread == 0 else f"{text} ± {spread:,.{digits}f}"


def verdict(is_better):
    return "yes" if is_better else "**no**"


def threads(number):
    return f"{number} thread{'' if number == '1' else 's'}"


# --- speed ---------------------------------------------------------------------------

COMPARE = 'make compare ARGS="--data DIR"'


def ratio_row(row):
    values = f"{row['median']} ({row['q1']} to {row['q3']})"
    beside = row["beside"].replace(" us", " µs")
    return row["measure"], values, beside, verdict(float(row["median"]) < 1)


def is_ratio(row):
    return bool(row["beside"]) and bool(row["q1"])


@table(COMPARE, "compare/summary.csv")
def beside_others():
    rows = [ratio_row(row) for row in read("compare/summary.csv") if is_ratio(row)]
    return ("what", "time of fastl0 over that of the other", "the other", "faster"), rows


@table(COMPARE, "compare/summary.csv")
def aims_missed():
    rows = [
        (row["measure"], row["must"], row["median"], row["beside"])
        for row in read("compare/summary.csv")
        if row["met"] == "no"
    ]
    return ("what", "aim: at most", "measured", "the other"), rows


@table(COMPARE, "compare/summary.csv")
def by_itself():
    rows = []
    for row in read("compare/summary.csv"):
        if not is_ratio(row):
            spread = f" ({row['q1']} to {row['q3']})" if row["q1"] else ""
            rows.append((row["measure"], row["median"] + spread, row["must"]))
    return ("what", "measured", "aim: at most"), rows


@table(COMPARE, "compare/epochs.csv")
def epochs():
    groups = grouped(read("compare/epochs.csv"), "library", "threads", "network")
    networks = sorted({key[2] for key in groups}, key=lambda name: -int(name.split("-")[0]))
    rows = []
    for library, number in dict.fromkeys(key[:2] for key in groups):
        cells = [groups.get((library, number, network), []) for network in networks]
        texts = [quartiles(column(c, "seconds")) if c else "" for c in cells]
        rows.append((f"{library}, {threads(number)}", *texts))
    rows.sort(key=lambda row: float(row[1].split()[0]) if row[1] else np.inf)
    return ("library", *(f"{name}, s" for name in networks)), rows


@table(COMPARE, "compare/predicting.csv")
def predicting():
    groups = grouped(read("compare/predicting.csv"), "library", "n_parameters", "dtype")
    rows = [
        (library, f"{int(size):,}", dtype, quartiles(column(group, "microseconds")))
        for (library, size, dtype), group in groups.items()
    ]
    return ("library", "parameters", "dtype", "one row of `predict_proba`, µs"), rows


@table(COMPARE, "compare/starting.csv")
def starting():
    groups = grouped(read("compare/starting.csv"), "what")
    rows = [(what, quartiles(column(g, "seconds")), len(g)) for (what,), g in groups.items()]
    return ("in a fresh process", "seconds", "runs"), rows


FIRST_FIT = "python benches/first_fit.py --data DIR"


def first_fit_values(measure):
    """Values by library, in rounds."""
    rows = [row for row in read("first_fit.csv") if row["measure"] == measure]
    return {name: column(group, "value") for (name,), group in grouped(rows, "library").items()}


@table(FIRST_FIT, "first_fit.csv")
def first_fit():
    seconds, held = first_fit_values("time"), first_fit_values("memory")
    reference = seconds["scikit-learn"]
    rows = [
        (name, quartiles(values), f"{np.median(values / reference):.2f}", quartiles(held[name]))
        for name, values in seconds.items()
    ]
    header = ("import, and fit to the digits", "seconds", "over scikit-learn's")
    return (*header, "MiB over importing MLPClassifier"), rows


@table(FIRST_FIT, "first_fit.csv")
def first_fit_install():
    names = {
        "disk": "MiB on disk beyond scikit-learn and its needs",
        "build": "seconds to build from source on two cores, downloads included",
    }
    rows = [
        (what, significant(first_fit_values(measure)["fastl0"][0]))
        for measure, what in names.items()
    ]
    return ("pip install", ""), rows


@table(FIRST_FIT, "first_fit.csv")
def first_fit_peak():
    ends = first_fit_values("limit")
    rows = [
        (name, quartiles(values), "trains" if ends[name][0] else "killed")
        for name, values in first_fit_values("peak").items()
    ]
    return ("", "peak, MiB", "with 128 MiB"), rows


@table(FIRST_FIT, "first_fit.csv")
def first_fit_predict():
    rows = []
    for shape in ("784-300-100", "64-100"):
        values = first_fit_values(f"predict {shape}")
        reference = values["scikit-learn"]
        rows += [
            (shape, name, quartiles(own), f"{np.median(own / reference):.2f}")
            for name, own in values.items()
        ]
    return ("hidden units", "", "microseconds", "over scikit-learn's"), rows


@table("python benches/busy.py --data DIR", "busy.csv")
def busy():
    rows = []
    groups = grouped(read("busy.csv"), "hidden", "busy_processes")
    for (hidden, number), group in groups.items():
        by_threads = grouped(group, "threads")
        one, two = (column(by_threads[n,], "seconds") for n in ("1", "2"))
        ratio = np.median(two) / np.median(one)
        rows.append((f"784-{hidden}-10", number, f"{ratio:.2f}", verdict(ratio < 1)))
    header = ("network", "busy processes", "time on two threads over one", "two are faster")
    return header, sorted(rows, key=lambda row: (-len(row[0]), row[1]))


# --- accuracy and size ---------------------------------------------------------------


@table("python benches/boosting.py --data DIR", "boosting.csv")
def beside_boosting():
    rows = read("boosting.csv")
    found = {
        name: {key: column(group, name).mean() for key, group in by_model(rows, name).items()}
        for name in ("score", "log_loss", "bytes", "seconds")
    }
    names = sorted({row["data"] for row in rows})
    table = []
    for model in dict.fromkeys(row["model"] for row in rows):

        def beside(name, data, model=model):
            """The value of the model, and those of boosting and the forest."""
            return (found[name].get((data, each)) for each in (model, "boosting", "forest"))

        behind, ahead, smaller, slower = [], [], [], []
        for data in names:
            own, *trees = beside("score", data)
            behind.append(own - max(trees))
            own, *trees = beside("log_loss", data)
            if own is not None:
                ahead.append(own <= min(trees))
            own, boosting, _ = beside("bytes", data)
            smaller.append(boosting / own)
            slower.append(found["seconds"][data, model] / found["seconds"][data, "fastl0"])
        near = np.mean(np.array(behind) >= -0.5)
        table.append(
            (model, f"{near:.0%}", f"{np.median(behind):+.2f}", f"{min(behind):+.1f}",
             f"{np.mean(ahead):.0%}", significant(np.median(smaller)), f"{np.median(slower):.2f}")
        )  # fmt: skip
    header = (
        "nothing tuned", f"of {len(names)} tables within 0.5 points, or ahead", "median", "worst",
        "log loss no worse", "times smaller than boosting", "CPU time of fit over fastl0's",
    )  # fmt: skip
    return header, table


def by_model(rows, name):
    """Rows that have a value, by table and model."""
    return grouped([row for row in rows if row[name] != ""], "data", "model")


@table("python benches/defaults.py --data DIR", "defaults.csv")
def defaults():
    rows = []
    data = [row for row in read("defaults.csv") if not row["changes"]]
    for (group, name, metric), fits in grouped(data, "group", "data", "metric").items():
        none, hard = (
            sorted((row for row in fits if row["pruning"] == kind), key=lambda row: row["seed"])
            for kind in ("none", "hard")
        )
        difference = column(hard, "score") - column(none, "score")
        sizes = [column(part, "n_parameters").mean() for part in (none, hard)]
        seconds = [column(part, "seconds").mean() for part in (none, hard)]
        rows.append((
            name + (" *" if group == "others" else ""),
            metric.replace("_", " "),
            f"{column(none, 'score').mean():.2f}",
            f"{column(hard, 'score').mean():.2f}",
            mean(difference, sign="+"),
            f"{sizes[0] / sizes[1]:.1f}",
            f"{seconds[1] / seconds[0]:.1f}",
            len(difference),
            verdict(round(difference.mean(), 2) >= 0),
        ))  # fmt: skip
    rows.sort(key=lambda row: row[0].endswith("*"))
    header = (
        "data set", "metric", "not pruned, %", "pruned, %", "difference ± SD", "times smaller",
        "times the time of fit", "seeds", "as good or better",
    )  # fmt: skip
    return header, rows


@table(
    'make frontier ARGS="--data DIR --sizes 70000 27000 9700 6800 --seeds 5 --epochs 200 '
    '--out DIR"',
    "frontier/frontier.csv",
)
def frontier():
    rows = []
    for (target,), fits in grouped(read("frontier/frontier.csv"), "target_size").items():
        size, error = column(fits, "n_parameters"), column(fits, "test_error")
        middle = sorted(fits, key=lambda row: float(row["test_error"]))[len(fits) // 2]
        beside, is_better = "", ""
        if int(target) in PUBLISHED:
            n, published, spread = PUBLISHED[int(target)]
            beside = f"{published} ± {spread} with {n:,}"
            is_better = verdict(error.mean() < published)
        kept = f"{size.min():,.0f} to {size.max():,.0f}"
        rows.append((
            f"{int(target):,}", kept, middle["n_units"], mean(error), len(fits), beside, is_better
        ))  # fmt: skip
    header = (
        "asked for, at most", "parameters", "units (median run)", "test error, %", "seeds",
        "published, %", "better",
    )  # fmt: skip
    return header, rows


@table('make paper ARGS="--data DIR --epochs 500 --seeds 5 --out DIR"', "paper/paper.csv")
def paper():
    fits = grouped(read("paper/paper.csv"), "pruning")
    kinds = ("hard", "soft", "none")
    rows = []
    for what, name, factor, digits in (
        ("test error of the last epoch, %", "test_error", 1, 2),
        ("parameters left", "n_parameters", 1, 0),
        ("removed, %", "reduction", 100, 1),
        ("training buffers, first epoch, MB", "buffer_nbytes_start", 1e-6, 2),
        ("training buffers, last epoch, MB", "buffer_nbytes_end", 1e-6, 2),
        ("time of an epoch, first ten, s", "epoch_time_first", 1, 2),
        ("time of an epoch, last ten, s", "epoch_time_last", 1, 2),
        ("500 epochs, s", "seconds", 1, 0),
    ):
        rows.append((what, *(mean(factor * column(fits[k,], name), digits) for k in kinds)))
    return ("mean ± SD of 5 seeds", *kinds), rows


@table("python benches/choices.py --data DIR", "choices.csv")
def choices():
    rows = []
    for (variant,), fits in grouped(read("choices.csv"), "variant").items():
        rows.append((variant, mean(column(fits, "error")), len(fits)))
    return ("changed", "error of rows held out, %", "seeds"), rows


@table("python benches/few_updates.py", "few_updates.csv")
def few_updates():
    rows = []
    groups = grouped(read("few_updates.csv"), "data", "rows", "epochs", "hidden")
    for (data, n_rows, n_epochs, hidden), fits in groups.items():
        by = grouped(fits, "network")
        sklearn, none, hard = (
            100 * column(sorted(by[k,], key=lambda row: row["seed"]), "accuracy")
            for k in ("scikit-learn", "none", "hard")
        )
        gain = hard - none
        error = gain.std(ddof=1) / len(gain) ** 0.5
        means = (f"{scores.mean():.1f}" for scores in (sklearn, none, hard))
        rows.append((
            data, n_rows, n_epochs, hidden, *means, f"{gain.mean():+.1f} ± {error:.1f}", len(gain),
            verdict(round(gain.mean(), 1) >= 0),
        ))  # fmt: skip
    header = (
        "data", "rows", "epochs", "hidden units", "scikit-learn", "not pruned", "pruned",
        "gain ± SE", "seeds", "as good or better",
    )  # fmt: skip
    return header, rows


SELECTION = "python benches/selection.py --data DIR"


@table(SELECTION, "selection.csv")
def selection():
    rows = []
    fits = [row for row in read("selection.csv") if row["stage"] == "test"]
    groups = grouped(fits, "selector")
    boosting = column(groups["all inputs",], "boosting").mean()
    for (selector,), group in groups.items():
        if selector == "fastl0, chosen settings":
            chosen = group[0]
            selector += (
                f": ``target_size={chosen['target_size']}, input_price={chosen['input_price']}``"
            )
        cells = [
            mean(values, 1) if len(values := column(group, name)) else ""
            for name in (
                "n_inputs", "n_relevant", "network", "nearest_neighbours", "forest", "boosting"
            )
        ]  # fmt: skip
        own = column(group, "network")
        rows.append((selector, *cells, verdict(own.mean() > boosting) if len(own) else ""))
    header = (
        "inputs chosen by", "inputs", "of the 20", "own network, %", "nearest neighbours, %",
        "forest, %", "boosting, %", "own network ahead of boosting on all",
    )  # fmt: skip
    return header, rows


PATHS = "python benches/paths.py --data DIR"


@table(PATHS, "paths.csv")
def path_costs():
    fits, rows = read("paths.csv"), []
    for (data,), group in grouped(fits, "data").items():
        seconds = {
            key: column(part, "seconds_in_all")[0]
            for key, part in grouped(group, "seed", "way").items()
        }
        seeds = sorted({key[0] for key in seconds})
        ratios = [seconds[seed, "path"] / seconds[seed, "separate"] for seed in seeds]
        n_sizes = len({row["target_size"] for row in group})
        numbers = (f"{value:.2f}" for value in (np.median(ratios), min(ratios), max(ratios)))
        rows.append((data, n_sizes, *numbers, len(ratios), verdict(np.median(ratios) < 1)))
    header = (
        "data", "sizes", "CPU time of the path over separate fits", "least", "most", "seeds",
        "cheaper",
    )  # fmt: skip
    return header, rows


@table(PATHS, "paths.csv")
def path_scores():
    rows = []
    groups = grouped(read("paths.csv"), "data", "target_size")
    for (data, size), group in groups.items():
        by = grouped(group, "way")
        path, separate = (
            column(sorted(by[k,], key=lambda row: row["seed"]), "score")
            for k in ("path", "separate")
        )
        gain = path - separate
        rows.append((
            data, size, f"{path.mean():.2f}", f"{separate.mean():.2f}", mean(gain, sign="+"),
            verdict(round(gain.mean(), 2) >= 0),
        ))  # fmt: skip
    header = (
        "data", "size", "path, %", "separate fit, %", "difference ± SD", "as good or better"
    )  # fmt: skip
    return header, rows


# --- memory and streams --------------------------------------------------------------


@table("python benches/memory.py --data DIR", "memory.csv")
def memory():
    rows = [
        (row["kind"].replace("sklearn", "scikit-learn"), row["loaded_mib"], row["peak_mib"],
         row["growth_mib"])
        for row in read("memory.csv")
    ]  # fmt: skip
    return ("", "imports and kernels, MiB", "peak, MiB", "growth, MiB"), rows


@table("python benches/inputs.py --data DIR", "inputs.csv")
def inputs():
    names = ("fit_mib", "epoch_s", "predict_mib", "predict_s")
    rows = [
        (f"{row['data']} ({row['dense_float32_mib']} MiB)", row["X"], *(row[n] for n in names))
        for row in read("inputs.csv")
    ]
    header = ("data (as dense float32)", "X", "fit, MiB", "epoch, s", "predict, MiB", "predict, s")
    return header, rows


@table(COMPARE, "compare/rows.csv")
def many_rows():
    rows = []
    for (n_rows,), group in grouped(read("compare/rows.csv"), "n_rows").items():
        growth = column(group, "growth_mib")[0]
        rows.append((f"{int(n_rows):,}", quartiles(column(group, "seconds")), f"{growth:.2f}"))
    return ("rows", "epoch, s", "growth of memory, MiB"), rows


def state_of(widths, state, n_blocks):
    """What a stream's network was like: as it began, as it ended, or on the way."""
    if state == widths:
        return "whole", widths
    return ("shrunk", state) if n_blocks >= 20 else ("amid shrinking", "")


@table("python benches/stream.py", "stream.csv")
def stream():
    groups = defaultdict(list)
    for (kind, widths, state), part in grouped(
        read("stream.csv"), "kind", "widths", "state"
    ).items():
        groups[kind, widths, *state_of(widths, state, len(part))] += part
    rows = []
    for (kind, widths, what, state), part in groups.items():
        ours, theirs = column(part, "fastl0"), column(part, "scikit-learn")
        network = widths if what == "whole" else f"{widths}, {what} {'to ' if state else ''}{state}"
        rows.append((
            network.strip(), kind, significant(np.median(ours)), significant(np.median(theirs)),
            quartiles(ours / theirs, lambda q: f"{q:.3f}"), len(part),
            verdict(np.median(ours / theirs) < 1),
        ))  # fmt: skip
    header = ("network", "", "fastl0, µs", "scikit-learn, µs", "ratio", "blocks", "faster")
    return header, sorted(rows, key=lambda row: row[1])


# --- reliability ---------------------------------------------------------------------

RELIABILITY = tuple(
    f"reliability/{name}.csv"
    for name in (
        "kills", "hostile", "costs", "fuzz", "determinism", "leaks", "sanitizers", "concurrency"
    )
)  # fmt: skip


#: As `reliability/sanitizers.py` calls what `team.c` does.
MEETING_POINTS = "tsan, meeting points"


@table("the commands in the table", *RELIABILITY)
def reliability():
    found = {name: read(name) for name in RELIABILITY}
    kills, hostile, costs, fuzz, determinism, leaks, sanitizers, concurrency = found.values()

    def total(rows, name, **where):
        chosen = [row for row in rows if all(row[k] == v for k, v in where.items())]
        return int(column(chosen, name).sum())

    same = sum(row["identical"] == "True" for row in kills)
    copies = [
        f"{float(row['of_a_plain_epoch']):.2f}"
        for row in costs
        if row["what"] == "epoch with a copy"
    ]
    written = [float(row["of_a_plain_epoch"]) for row in costs if row["what"] == "checkpoint"]
    count = {row["what"]: int(row["count"]) for row in fuzz if not row["which"]}
    held = {(row["measure"], row["planted_bytes_per_fit"]): row for row in leaks}
    malloc = held["malloc", "0"]
    tools = {row["tool"]: row for row in sanitizers}
    pages = (int(held["anonymous", "0"]["last"]) - int(held["anonymous", "0"]["first"])) // 4096

    def reports(tool):
        own = ("reports_core", "reports_kernels")
        return sum(int(tools[tool][name]) for name in own)

    def passed(tool):
        n_passed, n_failed = int(tools[tool]["passed"]), int(tools[tool]["failed"])
        return f"{n_passed:,} of {n_passed + n_failed:,}" if n_failed else f"{n_passed:,}"

    def seen(tool):
        return f"{tools[tool]['planted_seen']} of {tools[tool]['planted']} planted faults were seen"

    rows = [
        (
            "Runs killed with SIGKILL at random moments, and repeated",
            "python benches/reliability/kills.py",
            f"{len(kills):,} runs of {len({row['case'] for row in kills})} kinds of settings, "
            f"{total(kills, 'kills'):,} kills, {total(kills, 'checkpoints'):,} checkpoints: "
            f"{total(kills, 'lost')} lost, {same} of {len(kills)} networks bit-identical to "
            "undisturbed ones",
        ),
        (
            "Damaged and hostile checkpoints",
            "python benches/reliability/hostile.py",
            f"{total(hostile, 'times'):,}: {total(hostile, 'times', outcome='refused'):,} refused "
            f"with a clear error, {total(hostile, 'times', outcome='taken up'):,} harmless changes "
            "taken up; no crash, no code run",
        ),
        (
            "The cost of the copy to go back to, and of a checkpoint",
            "python benches/reliability/costs.py",
            f"an epoch of 784-300-100-10 with a copy takes {' and '.join(copies)} times as long "
            f"as one without, a checkpoint {100 * max(written):.1f} % of an epoch",
        ),
        (
            "Random estimators, rows and calls, wrong ones too",
            "python benches/reliability/fuzz.py",
            f"{total(fuzz, 'count', what='cases'):,} cases: {count['calls done']:,} calls done as "
            f"they should be, {count['calls refused']:,} refused by name, "
            f"{count['failures']} failures",
        ),
        (
            "The same seed on one thread, on two, in another order and under a limit",
            "python benches/reliability/determinism.py",
            f"{total(determinism, 'identical'):,} of {total(determinism, 'fits'):,} networks of "
            f"{len({row['case'] for row in determinism})} kinds bit-identical; "
            f"{total(determinism, 'shared_mini_batches'):,} mini-batches were shared by threads",
        ),
        (
            "Many fits in one process, some of them failing",
            "python benches/reliability/leaks.py",
            f"{int(malloc['fits']):,} fits, {malloc['of_them_failing']} failing: allocated memory "
            f"grows by {float(malloc['slope_per_fit']):.1f} ± "
            f"{float(malloc['standard_error']):.1f} bytes a fit, resident memory by {pages} pages "
            f"in all, threads and open files by "
            f"{float(held['threads', '0']['slope_per_fit']):.0f} and "
            f"{float(held['files', '0']['slope_per_fit']):.0f}. Of 64 bytes a fit that are kept "
            f"on purpose {float(held['tracemalloc', '64']['slope_per_fit']):.0f} ± "
            f"{float(held['tracemalloc', '64']['standard_error']):.1f} are seen",
        ),
        (
            "The test suite under AddressSanitizer and UndefinedBehaviorSanitizer, and tests of "
            "kernels once more with those of every other instruction set",
            "python benches/reliability/sanitizers.py asan",
            f"{passed('asan')} tests passed, {tools['asan']['skipped']} skipped or expected to "
            f"fail, {reports('asan')} reports; {seen('asan')}",
        ),
        (
            "The shipped machine code, in tests that train, under Valgrind's memcheck",
            "python benches/reliability/sanitizers.py memcheck",
            f"{passed('memcheck')} tests passed, {reports('memcheck')} reports in core or kernels "
            f"({tools['memcheck']['reports_elsewhere']} in Python and other libraries); "
            f"{seen('memcheck')}",
        ),
        (
            "Trainings in teams of threads under ThreadSanitizer, then their meeting points alone",
            "python benches/reliability/sanitizers.py tsan",
            f"{passed('tsan')} tests passed, {reports('tsan')} reports; {seen('tsan')}. "
            f"{tools[MEETING_POINTS]['tests']}; {reports(MEETING_POINTS)} reports; "
            f"{seen(MEETING_POINTS)}",
        ),
        (
            "Fits in 16 threads, in workers by fork, spawn, forkserver and loky, and after "
            "``os.fork``",
            "python benches/reliability/concurrency.py --rounds 3",
            f"{total(concurrency, 'same') + total(concurrency, 'beside_same'):,} of "
            f"{total(concurrency, 'fits') + total(concurrency, 'fits_beside'):,} fits "
            f"bit-identical to the same fits alone, {total(concurrency, 'hanging')} hung, "
            f"{total(concurrency, 'aborted')} aborted",
        ),
    ]
    cells = [(f"{what}\n\n``{command}``", outcome) for what, command, outcome in rows]
    return ("what", "outcome"), cells


@table("python benches/reliability/hostile.py", "reliability/hostile.csv")
def hostile():
    rows = [(row["change"], row["outcome"], f"{int(row['times']):,}") for row in
            read("reliability/hostile.csv")]  # fmt: skip
    return ("kind of change", "outcome", "times"), rows


@table("python benches/reliability/concurrency.py --rounds 3", "reliability/concurrency.csv")
def concurrency():
    names = ("fits", "same", "different", "raised", "hanging", "aborted", "fits_beside",
             "beside_same")  # fmt: skip
    rows = [(row["way"], *(row[n] for n in names)) for row in read("reliability/concurrency.csv")]
    return ("way", *(name.replace("_", " ") for name in names)), rows


# --- pictures ------------------------------------------------------------------------

BLUE, GREY, RED = "#1f6fb4", "#8a8f98", "#c8452d"


def plain(ax, grid="y", **settings):
    ax.set(**settings)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_axisbelow(True)
    ax.grid(axis=grid, alpha=0.25)


@picture
def shrinking(plt):
    """Parameters and test error of MNIST, epoch by epoch, for the front page."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.1), layout="constrained")
    rows = grouped(read("frontier/history.csv"), "target_size", "seed")
    for target, colour in (("70000", GREY), ("27000", BLUE), ("9700", RED)):
        fits = [part for (size, _), part in rows.items() if size == target]
        sizes = np.mean([column(part, "n_parameters") for part in fits], axis=0)
        errors = np.mean([column(part, "test_error") for part in fits], axis=0)
        epochs = np.arange(1, len(sizes) + 1)
        axes[0].plot(epochs, sizes, color=colour, label=f"at most {int(target):,}")
        axes[1].plot(epochs, errors, color=colour)
    plain(axes[0], title="parameters", xlabel="epoch", yscale="log", ylim=(5e3, 4e5))
    axes[0].set_yticks([1e4, 1e5], ["10,000", "100,000"])
    axes[0].legend(frameon=False, loc="lower left", fontsize=9)
    plain(axes[1], title="test error, %", xlabel="epoch", ylim=(0, 8))
    return figure


@picture
def epoch_times(plt):
    """Seconds of an epoch, by library."""
    groups = grouped(read("compare/epochs.csv"), "network", "library", "threads")
    networks = list(dict.fromkeys(key[0] for key in groups))
    figure, axes = plt.subplots(len(networks), 1, figsize=(7.5, 11), layout="constrained")
    for ax, network in zip(axes, networks, strict=True):
        found = {
            f"{library}, {threads(number)}": np.quantile(column(part, "seconds"), [0.25, 0.5, 0.75])
            for (name, library, number), part in groups.items()
            if name == network
        }
        order = sorted(found, key=lambda name: -found[name][1])
        low, middle, high = np.array([found[name] for name in order]).T
        colours = [BLUE if name.startswith("fastl0") else "#c3c7ce" for name in order]
        ax.barh(order, middle, color=colours, xerr=[middle - low, high - middle])
        plain(ax, "x", title=network, xlabel="seconds of an epoch of 60,000 rows")
    return figure


@picture
def frontier_picture(plt):
    """Test error of MNIST against size, beside what was published."""
    figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
    fits = grouped(read("frontier/frontier.csv"), "target_size")
    sizes, errors = (
        [column(part, name) for part in fits.values()] for name in ("n_parameters", "test_error")
    )
    means, spreads = ([f(e) for e in errors] for f in (np.mean, lambda e: np.std(e, ddof=1)))
    ax.errorbar([s.mean() for s in sizes], means, spreads, fmt="o-", color=BLUE, label="fastl0")
    n, published, spread = np.array(list(PUBLISHED.values())).T
    label = "Gallego-Posada et al. 2022"
    ax.errorbar(n, published, spread, fmt="s--", color=GREY, label=label)
    plain(ax, xlabel="parameters", ylabel="test error, %", xscale="log", ylim=(0, None))
    ax.set_xticks([7_000, 10_000, 30_000, 70_000], ["7,000", "10,000", "30,000", "70,000"])
    ax.xaxis.set_minor_formatter("")
    ax.legend(frameon=False)
    return figure


# --- all comparisons -----------------------------------------------------------------


def overview(found):
    """How many rows of each comparison fastl0 wins and loses.

    Parameters
    ----------
    found : dict of str to (header, rows)
        All tables.
    """
    rows = []
    for name, (page, what) in COMPARISONS.items():
        answers = [row[-1] for row in found[name][1]]
        rows.append((f":doc:`{what} <{page}>`", answers.count("yes"), answers.count("**no**")))
    return ("comparison", "rows that fastl0 wins", "rows that it loses"), rows


# --- writing -------------------------------------------------------------------------


def as_rst(header, rows):
    """A table in reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: evidence", ""]
    for row in (header, *rows):
        if len(row) != len(header):
            raise ValueError(f"a row must have {len(header)} cells, got {row}")
        for k, cell in enumerate(row):
            text = str(cell).replace("\n", "\n" + 7 * " ")
            lines.append(f"   {' ' if k else '*'} - {text}".rstrip())
    return "\n".join([*lines, ""])


def source(command, files):
    """Where the numbers of a table come from."""
    links = ", ".join(
        f":download:`{name.rpartition('/')[2]} <../../benches/results/{name}>`" for name in files
    )
    made = command if command.startswith("the ") else f"``{command}``"
    return "\n".join(["", ".. rst-class:: source", "", f"Made by {made}; {links}.", ""])


def put(path, text):
    """Write a file unless it says that already: Sphinx builds anew what has changed."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def write(folder=FOLDER):
    """Write all tables and pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: function() for name, (function, _, _) in TABLES.items()}
    for name, (_, command, files) in TABLES.items():
        put(folder / f"{name}.rst", as_rst(*found[name]) + source(command, files))
    put(folder / "overview.rst", as_rst(*overview(found)))
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    # The same bytes in each build.
    style = {"svg.hashsalt": "fastl0", "font.size": 10, "figure.facecolor": "white"}
    with mpl.rc_context(style):
        for name, function in PICTURES.items():
            figure = function(plt)
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)


if __name__ == "__main__":
    write(*map(pathlib.Path, sys.argv[1:2]))
