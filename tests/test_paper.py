import csv
import json
import math
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import stand_in

from fastl0.commands import console, main, paper, results, summary, trial

MNIST = stand_in.mnist()
KINDS = ("hard", "soft", "none")


def plan(out, **changes):
    return paper.Plan(out=out, **{"epochs": 3, "seeds": 2, "lam": 0.1, **changes})


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}


@pytest.fixture
def unseen(monkeypatch):
    """Draw no pictures: they take longer than all else."""
    monkeypatch.setattr(summary, "draw", lambda folder: [])


@pytest.fixture
def calls(monkeypatch, unseen):
    """Swap the training of a run for a stand-in; return the runs that it made."""
    made = []

    def run(plan, data, seed, pruning, on_epoch=None):
        made.append((seed, pruning))
        return stand_in.run(plan, data, seed, pruning)

    monkeypatch.setattr(paper, "_run", run)
    return made


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "_run", stand_in.run)
        paper.carry_out(plan(folder), MNIST)
    return folder


@pytest.fixture
def whole(uninterrupted, tmp_path):
    """The folder of an uninterrupted start, pictures and all."""
    return shutil.copytree(uninterrupted, tmp_path / "whole")


# --- the files -----------------------------------------------------------------------


def test_paper_csv_by_hand(whole):
    header, *rows = rows_of(whole / "paper.csv")
    assert header[:8] == [
        *("seed", "pruning", "test_error", "n_parameters", "reduction"),
        *("buffer_nbytes_start", "buffer_nbytes_end", "seconds"),
    ]
    assert [(row[0], row[1]) for row in rows] == [(s, k) for s in "01" for k in KINDS]
    first, last = 501 * 60 + 61 * 40 + 41 * 10, 101 * 40 + 41 * 20 + 21 * 10
    assert dict(zip(header, rows[3], strict=True)) == {
        "seed": "1",
        "pruning": "hard",
        "test_error": "3.48",  # of the last epoch
        "n_parameters": str(last),
        "reduction": str(round(1 - last / 266_610, 6)),
        "buffer_nbytes_start": str(16 * first),
        "buffer_nbytes_end": str(16 * last),
        "seconds": "1.5",
        "n_units": "100-40-20-10",
        "epoch_time_first": "0.5",
        "epoch_time_last": "0.5",
    }


def test_first_and_last_epoch_times_are_medians_of_ten():
    times = [100.0, *range(2, 26)]
    history = {name: [1.0] * 25 for name in trial.HISTORY} | {"epoch_time": times}
    history["n_units"] = [[1]] * 25
    row = dict(
        zip(
            results.RUN_COLUMNS,
            results._run_row(results.Run(0, "hard", history, [1], [0]), 10),
            strict=True,
        )
    )
    assert row["epoch_time_first"] == 6.5  # of 2 .. 10 and 100
    assert row["epoch_time_last"] == 20.5  # of 16 .. 25
    assert row["seconds"] == sum(times)


def test_history_csv_has_a_row_a_run_and_epoch(whole):
    header, *rows = rows_of(whole / "history.csv")
    assert header[:9] == [
        *("seed", "pruning", "epoch", "loss", "test_error"),
        *("n_parameters", "n_units", "buffer_nbytes", "epoch_time"),
    ]
    assert [row[:3] for row in rows] == [[s, k, e] for s in "01" for k in KINDS for e in "123"]
    assert rows[1][3:7] == ["0.5", "2.49", str(201 * 50 + 51 * 30 + 31 * 10), "200-50-30-10"]


def test_support_csv_names_the_kept_pixels(whole):
    header, *rows = rows_of(whole / "support.csv")
    assert header == ["seed", "pruning", "pixel"]
    assert [int(row[2]) for row in rows if row[:2] == ["1", "hard"]] == list(range(100))
    assert len(rows) == 2 * (100 + 784 + 784)


def test_pictures_are_written(whole):
    pytest.importorskip("matplotlib")
    for name in ("error_and_size", "memory_and_time", "kept_pixels"):
        assert (whole / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert not list(whole.rglob("*.tmp"))


# --- one run ---------------------------------------------------------------------------


@pytest.fixture
def classifier(monkeypatch):
    monkeypatch.setattr("fastl0.HardL0MLPClassifier", stand_in.Classifier, raising=False)
    monkeypatch.setattr(stand_in.Classifier, "seen", [])
    trial.compile_kernels.cache_clear()
    yield stand_in.Classifier
    trial.compile_kernels.cache_clear()


def test_a_run_measures_every_epoch(classifier, tmp_path):
    ticks = []
    run = paper._run(plan(tmp_path), MNIST, 1, "hard", lambda: ticks.append(1))
    assert run.history["test_error"] == [30.0, 25.0, 20.0]  # 6, 5, 4 wrong of 20
    assert run.history["n_units"] == [list(widths) for widths in stand_in.N_UNITS["hard"]]
    assert run.history["epoch_time"] == [0.25, 0.5, 0.75]
    assert run.n_units == [100, 40, 20, 10]
    assert run.support == list(range(100))
    assert len(ticks) == 3
    assert json.loads(json.dumps(run._asdict())) == run._asdict()  # NumPy's numbers are no JSON


def test_a_run_hands_over_scaled_rows_and_its_settings(classifier, tmp_path):
    paper._run(plan(tmp_path, lam=0.3), MNIST, 1, "soft")
    parameters, X, y = classifier.seen[0]
    assert X.dtype == np.float32
    np.testing.assert_allclose(X, MNIST.X_train / 255, rtol=1e-6)
    np.testing.assert_array_equal(y, MNIST.y_train)
    assert paper.ESTIMATOR.items() >= {"batch_size": 128, "learning_rate_init": 0.001}.items()
    assert stand_in.n_parameters((784, *paper.ESTIMATOR["hidden_layer_sizes"], 10)) == 266_610
    assert parameters == {
        **paper.ESTIMATOR,
        "max_iter": 3,
        "n_iter_no_change": 3,
        "lam": 0.3,
        "pruning": "soft",
        "random_state": 1,
    }


def test_labels_need_not_be_codes(classifier):
    # The stand-in network predicts codes from the first pixel; here code 0 means digit 5.
    keep = MNIST.y_train >= 5
    X = np.float32(MNIST.X_train / 255)
    X[:, 0] -= np.float32(5 / 255)
    X, y = X[keep], MNIST.y_train[keep]
    parameters = {"max_iter": 1, "pruning": "none", "random_state": -5}
    assert trial.train(parameters, X, y, X, y).history["test_error"] == [0.0]


def test_a_run_cut_short_is_no_run(classifier, tmp_path, monkeypatch):
    def stop_early(self, X, y, on_epoch):
        self.parameters["max_iter"] = 2
        return fit(self, X, y, on_epoch)

    fit = classifier._fit
    monkeypatch.setattr(classifier, "_fit", stop_early)
    with pytest.raises(KeyboardInterrupt):
        paper._run(plan(tmp_path), MNIST, 0, "hard")


# --- going on --------------------------------------------------------------------------


def test_finished_runs_are_not_repeated(whole, calls):
    before = tables(whole)
    (whole / "runs" / "seed1-soft.json").unlink()
    paper.carry_out(plan(whole), MNIST)
    assert calls == [(1, "soft")]
    assert tables(whole) == before


def test_interrupt_keeps_finished_runs_and_says_how_to_go_on(tmp_path, monkeypatch, unseen, capsys):
    def run(plan, data, seed, pruning, on_epoch=None):
        if (seed, pruning) == (1, "hard"):
            raise KeyboardInterrupt
        return stand_in.run(plan, data, seed, pruning)

    monkeypatch.setattr(paper, "_run", run)
    monkeypatch.setattr(paper, "_load", lambda data: MNIST)
    options = ["paper", "--epochs", "3", "--seeds", "2", "--out", str(tmp_path)]
    assert main(options) == 130
    assert f"3 of 6 runs are stored in {tmp_path}: give the same" in capsys.readouterr().err
    assert len(rows_of(tmp_path / "paper.csv")) == 1 + 3

    monkeypatch.setattr(paper, "_run", stand_in.run)
    assert main(options) == 0
    out = capsys.readouterr().out
    assert "3 of 6 runs are already in" in out
    assert "[4/6] hard, seed 1: test error 3.48 %, 5,070 parameters (100-40-20-10), 1.5 s" in out


KILLED = """
import os, signal, sys
from pathlib import Path
import stand_in
from fastl0.commands import paper

fsync, countdown = os.fsync, int(sys.argv[2])

def kill_at_last(handle):
    global countdown
    countdown -= 1
    if countdown == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)

os.fsync = kill_at_last
paper._run = stand_in.run
paper.carry_out(paper.Plan(Path(sys.argv[1]), epochs=3, seeds=2, lam=0.1), stand_in.mnist())
"""


# Each file takes two calls of fsync, before and after its replacement: settings.json 1 and 2,
# the empty tables 3 to 8, then for every run its own file and three tables, 8 calls.
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize(
    ("nth_fsync", "n_stored"), [(1, 0), (2, 0), (5, 0), (9, 0), (10, 1), (15, 1), (16, 1), (18, 2)]
)
def test_killed_at_any_write_loses_no_finished_run(tmp_path, whole, calls, nth_fsync, n_stored):
    out = tmp_path / "killed"
    out.mkdir()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(out), str(nth_fsync)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list((out / "runs").glob("*.json"))) == n_stored
    for path in out.glob("*.csv"):
        lengths = {len(row) for row in rows_of(path)}
        assert len(lengths) == 1  # no torn row
        assert path.read_bytes().endswith(b"\n")

    paper.carry_out(plan(out), MNIST)
    assert len(calls) == 6 - n_stored
    assert tables(out) == tables(whole)
    assert not list(out.rglob("*.tmp"))


def test_order_of_finishing_does_not_show(tmp_path, whole, monkeypatch):
    store = results.ResultStore(whole, paper.settings(plan(whole), MNIST))
    other = tmp_path / "other"
    other.mkdir()
    shuffled = results.ResultStore(other, paper.settings(plan(other), MNIST))
    for key in reversed(store.keys()):
        shuffled.add(stand_in.run(plan(other), MNIST, *key))
    assert tables(other) == tables(whole)


def test_two_jobs_give_the_same_files(tmp_path, whole, monkeypatch, unseen, capsys):
    monkeypatch.setattr(paper, "_run", stand_in.run)
    out = tmp_path / "two"
    out.mkdir()
    capsys.readouterr()
    paper.carry_out(plan(out, jobs=2, pruning=("hard", "soft", "none")), MNIST)
    assert tables(out) == tables(whole)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert [line[:5] for line in lines] == [f"[{i}/6]" for i in range(1, 7)]
    assert "hard, seed 0" not in lines[0]  # stored as they finish, not as they started


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
@pytest.mark.parametrize("orphaned", [True, False])
def test_worker_gives_up_when_its_parent_is_gone(tmp_path, monkeypatch, orphaned):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def run(plan, data, seed, pruning, on_epoch):
        on_epoch()
        return (seed, pruning)

    parent = os.getppid() + orphaned
    assert paper._run_in_worker(run, parent, plan(tmp_path), MNIST, 1, "soft") == (1, "soft")
    assert codes == [1] * orphaned


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epochs": 4}, r"epochs=4\), got epochs=3"),
        ({"seeds": 3}, "seeds=3"),
        ({"lam": 0.2}, r"lam=0\.2\), got lam=0\.1"),
        ({"pruning": ("hard",)}, r"pruning=\['hard'\]"),
    ],
)
def test_other_settings_are_refused(whole, calls, changes, named):
    before = tables(whole)
    with pytest.raises(results.StoreError, match=named + ".*another --out"):
        paper.carry_out(plan(whole, **changes), MNIST)
    assert calls == []
    assert tables(whole) == before


def test_other_data_are_refused(whole):
    with pytest.raises(results.StoreError, match="data_sha256"):
        paper.carry_out(plan(whole), stand_in.mnist(seed=1))


def test_other_number_of_jobs_is_welcome(whole, calls):
    paper.carry_out(plan(whole, jobs=2), MNIST)
    assert calls == []


def test_foreign_folder_is_refused(tmp_path, calls):
    (tmp_path / "paper.csv").write_text("mine\n")
    with pytest.raises(results.StoreError, match="another --out"):
        paper.carry_out(plan(tmp_path), MNIST)
    assert (tmp_path / "paper.csv").read_text() == "mine\n"


@pytest.mark.parametrize("content", ["", '{"seed": 1', "[]", '{"seed": 1}'])
def test_damaged_run_is_named(whole, content):
    (whole / "runs" / "seed1-hard.json").write_text(content)
    with pytest.raises(results.StoreError, match=r"seed1-hard\.json must .*Delete it"):
        paper.carry_out(plan(whole), MNIST)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"seed": 0}, r"be of seed and pruning \(1, 'hard'\), got \(0, 'hard'\)"),
        ({"history": []}, "list loss"),
        ({"history": {"loss": [1.0, 0.5, 0.2]}}, "list test_error"),
        ({"epoch_time": []}, "list epoch_time"),
        ({"epoch_time": [0.5]}, "equal length .* 3 of loss and 1 of epoch_time"),
        ({"test_error": [1.0, "abc", 2.0]}, "numbers in its history's test_error"),
        ({"n_units": [[1], 2, [3]]}, "widths in its history's n_units"),
        ({"support": [0, None]}, "list of ints in support"),
        ({"support": [0]}, "as many inputs in support"),
    ],
)
def test_damaged_part_of_a_run_is_named(whole, calls, changes, rule):
    path = whole / "runs" / "seed1-hard.json"
    stored = json.loads(path.read_text())
    for name, value in changes.items():
        (stored["history"] if name in trial.HISTORY else stored)[name] = value
    path.write_text(json.dumps(stored))
    with pytest.raises(results.StoreError, match=rf"seed1-hard\.json must .*{rule}.*Delete it"):
        paper.carry_out(plan(whole), MNIST)
    assert calls == []


def test_history_of_a_run_is_that_of_a_trial():
    assert results._HISTORY == trial.HISTORY


def test_settings_that_agree_are_not_listed(whole):
    path = whole / "settings.json"
    stored = json.loads(path.read_text())
    stored["estimator"]["batch_size"] = 64
    path.write_text(json.dumps(stored))
    with pytest.raises(
        results.StoreError, match=r"\(estimator.batch_size=128\), got estimator.batch_size=64\. "
    ):
        paper.carry_out(plan(whole), MNIST)


def test_empty_settings_are_refused_by_name(whole):
    (whole / "settings.json").write_text("{}")
    with pytest.raises(
        results.StoreError, match=r"must hold epochs, seeds, lam.* another --out"
    ) as e:
        paper.carry_out(plan(whole), MNIST)
    assert "None" not in str(e.value)
    assert "sha256=" not in str(e.value)


@pytest.mark.parametrize(
    ("in_the_way", "message"),
    [
        ("runs", r"runs must be a folder, got a file\. Move it"),
        ("runs/seed1-soft.json.tmp/", r"tmp must be free for a file, got a folder\. Move it"),
        ("settings.json.tmp/", r"tmp must be free for a file, got a folder\. Move it"),
    ],
)
def test_what_is_in_the_way_is_found_before_training(tmp_path, calls, in_the_way, message):
    path = tmp_path / in_the_way
    if in_the_way.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.touch()
    with pytest.raises(results.StoreError, match=message):
        paper.carry_out(plan(tmp_path), MNIST)
    assert calls == []


def test_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    results.write_atomically(path, b"old")

    def full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        results.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


# --- the summary -----------------------------------------------------------------------


def run_rows(**by_kind):
    return [
        dict.fromkeys(results.RUN_COLUMNS, "0")
        | {"seed": str(seed), "pruning": kind, "test_error": str(error)}
        for kind, errors in by_kind.items()
        for seed, error in errors.items()
    ]


def test_summary_by_hand():
    rows = run_rows(
        hard={0: 1.0, 1: 2.0, 2: 3.0}, soft={0: 1.5, 1: 2.0, 2: 1.0}, none={0: 4.0, 1: 6.0}
    )
    found = summary.summarise(rows, "test_error")
    assert list(found) == ["hard", "soft", "none", "hard - soft"]
    assert found["hard"] == pytest.approx((2.0, 1.0))
    assert found["soft"] == pytest.approx((1.5, 0.5))
    assert found["none"] == pytest.approx((5.0, math.sqrt(2)))
    # Differences -0.5, 0 and 2: mean 0.5, variance (1 + 0.25 + 2.25) / 2.
    assert found["hard - soft"] == pytest.approx((0.5, math.sqrt(1.75)))


def test_difference_needs_the_same_seed():
    found = summary.summarise(run_rows(hard={0: 1.0, 1: 5.0}, soft={1: 2.0}), "test_error")
    assert found["hard - soft"][0] == 3.0
    assert math.isnan(found["hard - soft"][1])
    assert "hard - soft" not in summary.summarise(run_rows(hard={0: 1.0}), "test_error")


def test_table_is_rounded_and_scaled(whole):
    text = (whole / "summary.txt").read_text()
    lines = {line.split("  ")[0]: " ".join(line.split()) for line in text.splitlines()}
    assert lines["seeds"] == "seeds 2 2 2 2"
    assert lines["test error (%)"].startswith("test error (%) 2.980 +- 0.707 2.980 +- 0.707")
    assert lines["test error (%)"].endswith("0.000 +- 0.000")
    assert "5,070 +- 0 266,610 +- 0" in lines["parameters"]
    assert "98.10 +- 0.00 0.00 +- 0.00" in lines["reduction (%)"]
    assert "0.527 +- 0.000 4.266 +- 0.000" in lines["buffers at start (MB)"]
    assert "0.081 +- 0.000 4.266 +- 0.000" in lines["buffers at end (MB)"]


def test_table_tells_how_many_seeds_each_column_has():
    table = summary.summary_table(run_rows(hard={0: 1.0, 1: 5.0}, soft={1: 2.0, 2: 1.0, 3: 0.0}))
    assert table.splitlines()[2].split() == ["seeds", "2", "3", "1"]


def test_single_seed_has_no_deviation(tmp_path, calls):
    paper.carry_out(plan(tmp_path, seeds=1), MNIST)
    text = (tmp_path / "summary.txt").read_text()
    assert "+-" not in text.partition("\n")[2]
    assert "nan" not in text


def test_plots_only_needs_the_csv_files_alone(whole, tmp_path, calls, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(summary, "draw", lambda folder: drawn.append(folder) or [])
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in whole.glob("*.csv"):
        shutil.copy(path, copy)
    assert main(["paper", "--out", str(copy), "--plots-only"]) == 0
    assert (copy / "summary.txt").read_text() in capsys.readouterr().out
    assert drawn == [copy] * console.can_plot()
    assert tables(copy) == tables(whole)
    assert calls == []


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("paper.csv", b"0,hard,2.48", b"0,hard,\xff", "must be CSV in UTF-8"),
        ("paper.csv", b"0,hard,2.48", b"0,hard,abc", "line 2: test_error must be a number"),
        ("paper.csv", b"0,hard,2.48", b"0,hard,nan", "line 2: test_error must be finite"),
        ("paper.csv", b"0,hard,", b"0,harder,", "pruning must be one of hard, soft, none"),
        ("paper.csv", b"\n1,hard,", b"\n0,hard,", "must hold 0-hard once"),
        ("paper.csv", b"1,hard,", b"2,hard,", "must hold epochs 1 to 3 of hard, seed 2, got 0"),
        ("history.csv", b"1,soft,3,", b"1,soft,4,", "epochs 1 to 3 of soft, seed 1, got 3"),
        ("history.csv", b"1,soft,3,", b"1\n2,soft,3,", "pruning must be there, got None"),
        ("support.csv", b"0,hard,99\n", b"0,hard,99999\n", "pixels < 784, got 99999"),
        ("support.csv", b"0,hard,99\n", b"0,hard,-1\n", "pixel must be an int >= 0, got '-1'"),
        ("support.csv", b"0,hard,99\n", b"", "must hold 100 pixels of hard, seed 0, got 99"),
    ],
)
def test_damaged_csv_ends_in_one_line(whole, capsys, name, old, new, message):
    if name != "paper.csv" or "epochs" in message:
        pytest.importorskip("matplotlib")
    before = {path.name: path.read_bytes() for path in whole.glob("*.png")}
    content = (whole / name).read_bytes()
    assert old in content
    (whole / name).write_bytes(content.replace(old, new, 1))
    assert main(["paper", "--out", str(whole), "--plots-only"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err
    assert "Run without --plots-only" in err
    assert {path.name: path.read_bytes() for path in whole.glob("*.png")} == before


def test_pictures_show_the_runs_of_paper_csv(whole):
    """A start that is killed may leave a run in history.csv that paper.csv has not yet."""
    *lines, _ = (whole / "paper.csv").read_text().splitlines(keepends=True)
    (whole / "paper.csv").write_text("".join(lines))
    runs = results.read_csv(whole, "paper.csv", results.RUN_COLUMNS)
    curves = summary._read_history(whole, runs)
    assert {kind: of_kind["test_error"].shape for kind, of_kind in curves.items()} == {
        "hard": (2, 3),
        "soft": (2, 3),
        "none": (1, 3),
    }
    np.testing.assert_allclose(curves["hard"]["test_error"], [[2.5, 2.49, 2.48], [3.5, 3.49, 3.48]])
    assert summary._read_supports(whole, runs)["none"].shape == (1, 784)


def test_tables_come_without_matplotlib(tmp_path, calls, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    paper.carry_out(plan(tmp_path), MNIST)
    assert 'pip install "fastl0[plot]"' in capsys.readouterr().out
    assert (tmp_path / "summary.txt").is_file()
    assert not list(tmp_path.glob("*.png"))


def test_pixels_are_drawn_for_pruned_kinds(whole, monkeypatch):
    plots = pytest.importorskip("fastl0.plots")
    drawn = {}
    real = plots.kept_pixels
    monkeypatch.setattr(
        plots, "kept_pixels", lambda supports: drawn.update(supports) or real(supports)
    )
    summary.draw(whole)
    assert list(drawn) == ["hard", "soft"]
    assert drawn["hard"].shape == (2, 784)
    assert drawn["hard"][:, :100].all()
    assert not drawn["hard"][:, 100:].any()


# --- the command -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "--epochs: must be an int >= 1, got '0'"),
        (["--seeds", "0"], "--seeds: must be an int >= 1, got '0'"),
        (["--seeds", "2.5"], "got '2.5'"),
        (["--jobs", "-1"], "--jobs: must be an int >= 1"),
        (["--lam", "-0.1"], "--lam: must be a finite number >= 0, got '-0.1'"),
        (["--lam", "nan"], "got 'nan'"),
        (["--pruning", "harder"], "invalid choice: 'harder'"),
        (["--data", "nowhere"], "must be a folder, got 'nowhere'"),
        (["--plots-only"], "must hold paper.csv"),
        (["--out", "file"], "file must be a folder, got a file"),
        (["--out", "file/below"], "must be a folder that can be created"),
    ],
)
def test_wrong_options_end_in_one_line_and_code_2(
    tmp_path, monkeypatch, calls, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if "--data" not in options:
        monkeypatch.setattr(paper, "_load", lambda data: MNIST)
    try:
        code = main(["paper", *options])
    except SystemExit as end:  # argparse's own way out
        code = end.code
    err = capsys.readouterr().err
    assert code == 2
    assert err.count("\n") == 1
    assert message in err
    assert calls == []


def test_full_disk_ends_in_one_line(tmp_path, monkeypatch, calls, capsys):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(results, "write_atomically", full)
    monkeypatch.setattr(paper, "_load", lambda data: MNIST)
    assert main(["paper", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert err.count("\n") == 1


def test_data_folder_comes_from_the_environment(tmp_path, monkeypatch, calls, capsys):
    stand_in.write_mnist(tmp_path / "data", MNIST)
    monkeypatch.setenv("FASTL0_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert main(["paper", "--epochs", "1", "--seeds", "1", "--pruning", "none", "hard"]) == 0
    assert f"Reading MNIST from {tmp_path / 'data'}." in capsys.readouterr().out
    assert calls == [(0, "hard"), (0, "none")]
    assert len(rows_of(tmp_path / "fastl0-paper" / "paper.csv")) == 3


def test_fetching_is_announced(tmp_path, monkeypatch, calls, capsys):
    monkeypatch.delenv("FASTL0_DATA", raising=False)

    def offline(data):
        assert data is None
        raise OSError("no network")

    monkeypatch.setattr("fastl0.datasets.load_mnist", offline)
    assert main(["paper", "--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert "fetching MNIST from OpenML" in out
    assert "no network" in err
    assert "--data" in err


def test_help_and_version_need_no_training_code():
    code = (
        "import sys\n"
        "from fastl0.commands import main\n"
        "try:\n    main(['--version'])\n"
        "except SystemExit as end:\n    assert not end.code\n"
        "sys.exit(bool({'numba', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0
    assert found.stdout.startswith("fastl0 ")


def test_real_estimator_from_files_to_csv(tmp_path):
    classifier = pytest.importorskip("fastl0.classifier")
    stand_in.write_mnist(tmp_path / "data", MNIST)
    out = tmp_path / "out"
    options = ["--data", str(tmp_path / "data"), "--epochs", "2", "--seeds", "1"]
    assert main(["paper", *options, "--out", str(out)]) == 0
    header, *rows = rows_of(out / "paper.csv")
    found = {row[1]: dict(zip(header, row, strict=True)) for row in rows}

    for kind in KINDS:
        parameters = {**paper.ESTIMATOR, "max_iter": 2, "n_iter_no_change": 2, "lam": 0.1}
        direct = classifier.HardL0MLPClassifier(**parameters, pruning=kind, random_state=0)
        with pytest.warns(match="."):
            direct.fit(np.float32(MNIST.X_train) / 255, MNIST.y_train)
        error = 100 * (1 - direct.score(np.float32(MNIST.X_test) / 255, MNIST.y_test))
        row = found[kind]
        assert float(row["test_error"]) == pytest.approx(error)
        assert int(row["n_parameters"]) == direct.n_parameters_
        assert row["n_units"] == "-".join(map(str, direct.n_units_))
        assert int(row["buffer_nbytes_end"]) == direct.history_["buffer_nbytes"][-1]
    assert found["none"]["n_parameters"] == "266610"
    assert found["none"]["reduction"] == "0.0"
