"""What `paper` and `frontier` share: going on, refusing, naming damage, options."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import fake_estimator
import pytest
from experiments import experiment, frontier, paper, run_store, summary
from experiments.__main__ import main

from fastl0.cli import console, files, training_run

MNIST = fake_estimator.mnist()


class Paper:
    """`experiments paper` with three kinds of run and two seeds."""

    name = "paper"
    module = paper
    layout = run_store.PAPER
    kinds = ("hard", "soft", "none")
    options = ()
    drawing = "draw"
    own = {"lam": 0.1}  # noqa: RUF012
    line = "[4/6] hard, seed 1: test error 3.48 %, 5,070 parameters (100-40-20-10), 1.5 s"
    # Each file takes two calls of fsync, before and after its replacement: settings.json 1 and 2,
    # the empty tables 3 to 8, then for every run its own file and three tables, 8 calls.
    kills = ((1, 0), (2, 0), (5, 0), (9, 0), (10, 1), (15, 1), (16, 1), (18, 2))


class Frontier:
    """`experiments frontier` with three kinds of run and two seeds."""

    name = "frontier"
    module = frontier
    layout = run_store.FRONTIER
    kinds = (70_000, 0.25, "64KiB")
    options = ("--sizes", "70000", "0.25", "64KiB")
    drawing = "draw_frontier"
    own = {"sizes": kinds}  # noqa: RUF012
    line = "[4/6] size 70000, seed 1: test error 3.23 %, 43,040 parameters (200-150-80-10), 1.5 s"
    kills = ((1, 0), (2, 0), (4, 0), (7, 0), (8, 1), (10, 1), (12, 1), (14, 2))  # one table less


EXPERIMENTS = (Paper, Frontier)


def plan(case, out, **changes):
    return case.module.Plan(out=out, **{"epochs": 3, "seeds": 2, **case.own, **changes})


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def tables(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.csv"))}


@pytest.fixture(params=EXPERIMENTS, ids=lambda case: case.name, scope="module")
def case(request):
    return request.param


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """Leave the estimator out: what it refuses is a matter of `test_frontier`."""
    monkeypatch.setattr(frontier, "_check_sizes", lambda plan, mnist: None)


@pytest.fixture
def unseen(monkeypatch):
    """Draw no pictures: they take longer than all else."""
    for case in EXPERIMENTS:
        monkeypatch.setattr(summary, case.drawing, lambda folder: [])


@pytest.fixture
def calls(monkeypatch, unseen):
    """Swap the training of a run for a stand-in; return the runs that it made."""
    made = []

    def run(plan, data, seed, kind, on_epoch=None):
        made.append((seed, kind))
        return fake_estimator.run(plan, data, seed, kind)

    for case in EXPERIMENTS:
        monkeypatch.setattr(case.module, "_run", run)
    return made


@pytest.fixture(scope="module")
def uninterrupted(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case.module, "_run", fake_estimator.run)
        patch.setattr(summary, case.drawing, lambda folder: [])
        case.module.carry_out(plan(case, folder), MNIST)
    return folder


@pytest.fixture
def whole(uninterrupted, tmp_path):
    """The folder of an uninterrupted start."""
    return shutil.copytree(uninterrupted, tmp_path / "whole")


def stored_run(case, folder, kind=0):
    return folder / "runs" / f"seed1-{case.kinds[kind]}.json"


# --- going on --------------------------------------------------------------------------


def test_finished_runs_are_not_repeated(case, whole, calls):
    before = tables(whole)
    stored_run(case, whole, 1).unlink()
    case.module.carry_out(plan(case, whole), MNIST)
    assert calls == [(1, case.kinds[1])]
    assert tables(whole) == before


def test_stored_runs_come_back_as_they_were(case, whole):
    store = run_store.ResultStore(
        whole, case.layout, case.module.settings(plan(case, whole), MNIST)
    )
    assert store.missing() == []
    for (seed, kind), run in store._runs.items():
        assert run == fake_estimator.run(plan(case, whole), MNIST, seed, kind)
    stored = json.loads(stored_run(case, whole).read_text())
    assert stored[case.layout.kind] == case.kinds[0]


def test_interrupt_keeps_finished_runs_and_says_how_to_go_on(
    case, tmp_path, monkeypatch, unseen, capsys
):
    def run(plan, data, seed, kind, on_epoch=None):
        if (seed, kind) == (1, case.kinds[0]):
            raise KeyboardInterrupt
        return fake_estimator.run(plan, data, seed, kind)

    monkeypatch.setattr(case.module, "_run", run)
    monkeypatch.setattr(experiment, "load", lambda data: MNIST)
    options = [case.name, "--epochs", "3", "--seeds", "2", "--out", str(tmp_path), *case.options]
    assert main(options) == 130
    assert f"3 of 6 runs are stored in {tmp_path}: give the same" in capsys.readouterr().err
    assert len(rows_of(tmp_path / case.layout.runs.name)) == 1 + 3

    monkeypatch.setattr(case.module, "_run", fake_estimator.run)
    assert main(options) == 0
    out = capsys.readouterr().out
    assert "3 of 6 runs are already in" in out
    assert case.line in out


KILLED = """
import os, signal, sys
from pathlib import Path
import fake_estimator, test_experiment

fsync, countdown = os.fsync, int(sys.argv[3])

def kill_at_last(handle):
    global countdown
    countdown -= 1
    if countdown == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(handle)

os.fsync = kill_at_last
case = next(case for case in test_experiment.EXPERIMENTS if case.name == sys.argv[1])
case.module._run = fake_estimator.run
case.module.carry_out(test_experiment.plan(case, Path(sys.argv[2])), fake_estimator.mnist())
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("moment", range(8))
def test_killed_at_any_write_loses_no_finished_run(case, tmp_path, whole, calls, moment):
    nth_fsync, n_stored = case.kills[moment]
    out = tmp_path / "killed"
    out.mkdir()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, case.name, str(out), str(nth_fsync)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list((out / "runs").glob("*.json"))) == n_stored
    for path in out.glob("*.csv"):
        lengths = {len(row) for row in rows_of(path)}
        assert len(lengths) == 1  # no torn row
        assert path.read_bytes().endswith(b"\n")

    case.module.carry_out(plan(case, out), MNIST)
    assert len(calls) == 6 - n_stored
    assert tables(out) == tables(whole)
    assert not list(out.rglob("*.tmp"))


def test_order_of_finishing_does_not_show(case, tmp_path, whole):
    other = tmp_path / "other"
    other.mkdir()
    shuffled = run_store.ResultStore(
        other, case.layout, case.module.settings(plan(case, other), MNIST)
    )
    for key in reversed(shuffled.keys()):
        shuffled.add(fake_estimator.run(plan(case, other), MNIST, *key))
    assert tables(other) == tables(whole)


def test_two_jobs_give_the_same_files(case, tmp_path, whole, monkeypatch, unseen, capsys):
    monkeypatch.setattr(case.module, "_run", fake_estimator.run)
    out = tmp_path / "two"
    out.mkdir()
    capsys.readouterr()
    case.module.carry_out(plan(case, out, jobs=2), MNIST)
    assert tables(out) == tables(whole)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert [line[:5] for line in lines] == [f"[{i}/6]" for i in range(1, 7)]
    assert case.layout.name(0, case.kinds[0]) not in lines[0]  # as they finish, not as they start


@pytest.mark.skipif(os.name != "posix", reason="needs process groups")
@pytest.mark.parametrize("orphaned", [True, False])
def test_worker_gives_up_when_its_parent_is_gone(tmp_path, monkeypatch, orphaned):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)

    def run(plan, data, seed, kind, on_epoch):
        on_epoch()
        return (seed, kind)

    parent, asked = os.getppid() + orphaned, plan(Paper, tmp_path)
    assert experiment._run_in_worker(run, parent, asked, MNIST, 1, "soft") == (1, "soft")
    assert codes == [1] * orphaned


# --- other settings --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"epochs": 4}, r"epochs=4\), got epochs=3"), ({"seeds": 3}, r"seeds=3\), got seeds=2")],
)
def test_other_settings_are_refused(case, whole, calls, changes, named):
    before = tables(whole)
    with pytest.raises(run_store.StoreError, match=named + ".*another --out"):
        case.module.carry_out(plan(case, whole, **changes), MNIST)
    assert calls == []
    assert tables(whole) == before


@pytest.mark.parametrize(
    ("case", "changes", "named"),
    [
        (Paper, {"lam": 0.2}, r"lam=0\.2\), got lam=0\.1"),
        (Paper, {"pruning": ("hard",)}, r"pruning=\['hard'\]"),
        (
            Frontier,
            {"sizes": (70_000, 0.25)},
            r"target_size=\[70000, 0\.25\]\), got target_size=\[70000, 0\.25, '64KiB'\]",
        ),
        (Frontier, {"sizes": (70_000, 0.25, "65KiB")}, "'65KiB'"),
    ],
    indirect=["case"],
)
def test_other_settings_of_its_own_are_refused(case, whole, calls, changes, named):
    test_other_settings_are_refused(case, whole, calls, changes, named)


def test_the_folder_of_another_experiment_is_refused(case, whole, calls):
    before = tables(whole)
    (other,) = (other for other in EXPERIMENTS if other is not case)
    with pytest.raises(run_store.StoreError, match="another --out"):
        other.module.carry_out(plan(other, whole), MNIST)
    assert calls == []
    assert tables(whole) == before


def test_other_data_are_refused(case, whole):
    with pytest.raises(run_store.StoreError, match="data_sha256"):
        case.module.carry_out(plan(case, whole), fake_estimator.mnist(seed=1))


def test_other_number_of_jobs_is_welcome(case, whole, calls):
    case.module.carry_out(plan(case, whole, jobs=2), MNIST)
    assert calls == []


def test_foreign_folder_is_refused(case, tmp_path, calls):
    path = tmp_path / case.layout.runs.name
    path.write_text("mine\n")
    with pytest.raises(run_store.StoreError, match="another --out"):
        case.module.carry_out(plan(case, tmp_path), MNIST)
    assert path.read_text() == "mine\n"


def test_settings_that_agree_are_not_listed(case, whole):
    path = whole / "settings.json"
    stored = json.loads(path.read_text())
    stored["estimator"]["batch_size"] = 64
    path.write_text(json.dumps(stored))
    with pytest.raises(
        run_store.StoreError, match=r"\(estimator.batch_size=128\), got estimator.batch_size=64\. "
    ):
        case.module.carry_out(plan(case, whole), MNIST)


def test_empty_settings_are_refused_by_name(case, whole):
    (whole / "settings.json").write_text("{}")
    with pytest.raises(
        run_store.StoreError, match=r"must hold epochs, seeds, .*another --out"
    ) as e:
        case.module.carry_out(plan(case, whole), MNIST)
    assert "None" not in str(e.value)
    assert "sha256=" not in str(e.value)


# --- damage ----------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", '{"seed": 1', "[]", '{"seed": 1}'])
def test_damaged_run_is_named(case, whole, content):
    path = stored_run(case, whole)
    path.write_text(content)
    with pytest.raises(run_store.StoreError) as e:
        case.module.carry_out(plan(case, whole), MNIST)
    assert str(e.value).startswith(f"{path} must ")
    assert "Delete it" in str(e.value)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"seed": 0}, "be of seed and {kind} (1, {first}), got (0, {first})"),
        ({"history": []}, "list loss"),
        ({"history": {"loss": [1.0, 0.5, 0.2]}}, "list test_error"),
        ({"epoch_time": []}, "list epoch_time"),
        ({"epoch_time": [0.5]}, "equal length in its history, got 3 of loss and 1 of epoch_time"),
        ({"test_error": [1.0, "abc", 2.0]}, "numbers in its history's test_error"),
        ({"n_units": [[1], 2, [3]]}, "widths in its history's n_units"),
        ({"support": [0, None]}, "list of ints in support"),
        ({"support": [0]}, "as many inputs in support"),
        ({"test_error": "abc"}, "a number in test_error"),
        ({"n_parameters": None}, "a number in n_parameters"),
    ],
)
def test_damaged_part_of_a_run_is_named(case, whole, calls, changes, rule):
    path = stored_run(case, whole)
    stored = json.loads(path.read_text())
    for name, value in changes.items():
        in_history = name in training_run.HISTORY and isinstance(value, list)
        (stored["history"] if in_history else stored)[name] = value
    path.write_text(json.dumps(stored))
    with pytest.raises(run_store.StoreError) as e:
        case.module.carry_out(plan(case, whole), MNIST)
    assert str(e.value).startswith(f"{path} must ")
    assert rule.format(kind=case.layout.kind, first=repr(case.kinds[0])) in str(e.value)
    assert str(e.value).endswith("Delete it to repeat the run.")
    assert calls == []


def test_a_run_has_the_fields_of_a_training_run():
    assert run_store.Run._fields == ("seed", "kind", *training_run.TrainingRun._fields)


@pytest.mark.parametrize(
    ("in_the_way", "message"),
    [
        ("runs", r"runs must be a folder, got a file\. Move it"),
        ("runs/seed1-{}.json.tmp/", r"tmp must be free for a file, got a folder\. Move it"),
        ("settings.json.tmp/", r"tmp must be free for a file, got a folder\. Move it"),
    ],
)
def test_what_is_in_the_way_is_found_before_training(case, tmp_path, calls, in_the_way, message):
    path = tmp_path / in_the_way.format(case.kinds[1])
    if in_the_way.endswith("/"):
        path.mkdir(parents=True)
    else:
        path.touch()
    with pytest.raises(console.CommandError, match=message):
        case.module.carry_out(plan(case, tmp_path), MNIST)
    assert calls == []


def test_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_atomically(path, b"old")

    def full(handle):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


# --- the report ------------------------------------------------------------------------


def test_single_seed_has_no_deviation(case, tmp_path, calls):
    case.module.carry_out(plan(case, tmp_path, seeds=1), MNIST)
    text = (tmp_path / "summary.txt").read_text()
    assert "+-" not in text.partition("\n")[2]
    assert "nan" not in text


def test_plots_only_needs_the_csv_files_alone(case, whole, tmp_path, calls, monkeypatch, capsys):
    drawn = []
    monkeypatch.setattr(summary, case.drawing, lambda folder: drawn.append(folder) or [])
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in whole.glob("*.csv"):
        shutil.copy(path, copy)
    assert main([case.name, "--out", str(copy), "--plots-only"]) == 0
    assert (copy / "summary.txt").read_text() in capsys.readouterr().out
    assert drawn == [copy] * console.can_plot()
    assert tables(copy) == tables(whole)
    assert calls == []


def test_nothing_but_a_header_is_no_report(case, whole, capsys):
    path = whole / case.layout.runs.name
    path.write_text(path.read_text().splitlines()[0] + "\n")
    assert main([case.name, "--out", str(whole), "--plots-only"]) == 2
    assert f"{path} must hold a finished run, and holds none." in capsys.readouterr().err


def test_tables_come_without_matplotlib(case, tmp_path, calls, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    case.module.carry_out(plan(case, tmp_path), MNIST)
    assert 'pip install "fastl0[plot]"' in capsys.readouterr().out
    assert (tmp_path / "summary.txt").is_file()
    assert not list(tmp_path.glob("*.png"))


# --- the command -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "--epochs: must be an int >= 1, got '0'"),
        (["--seeds", "0"], "--seeds: must be an int >= 1, got '0'"),
        (["--seeds", "2.5"], "got '2.5'"),
        (["--jobs", "-1"], "--jobs: must be an int >= 1"),
        (["--data", "nowhere"], "must be a folder, got 'nowhere'"),
        (["--plots-only"], "must hold {table}"),
        (["--out", "file"], "file must be a folder, got a file"),
        (["--out", "file/below"], "must be a folder that can be created"),
    ],
)
def test_wrong_options_end_in_one_line_and_code_2(
    case, tmp_path, monkeypatch, calls, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if "--data" not in options:
        monkeypatch.setattr(experiment, "load", lambda data: MNIST)
    try:
        code = main([case.name, *options])
    except SystemExit as end:  # argparse's own way out
        code = end.code
    err = capsys.readouterr().err
    assert code == 2
    assert err.count("\n") == 1
    assert message.format(table=case.layout.runs.name) in err
    assert calls == []


@pytest.mark.parametrize(
    ("case", "options", "message"),
    [
        (Paper, ["--lam", "-0.1"], "--lam: must be a finite number >= 0, got '-0.1'"),
        (Paper, ["--lam", "nan"], "got 'nan'"),
        (Paper, ["--pruning", "harder"], "invalid choice: 'harder'"),
        (Frontier, ["--sizes", "70000", "many"], "bytes such as 64KiB, got 'many'"),
        (Frontier, ["--sizes", "0"], "--sizes: must be an int >= 1, a share in (0, 1] such as"),
        (Frontier, ["--sizes"], "expected at least one argument"),
    ],
)
def test_wrong_options_of_its_own_end_in_one_line_and_code_2(
    case, tmp_path, monkeypatch, calls, capsys, options, message
):
    test_wrong_options_end_in_one_line_and_code_2(
        case, tmp_path, monkeypatch, calls, capsys, options, message
    )


def test_full_disk_ends_in_one_line(case, tmp_path, monkeypatch, calls, capsys):
    def full(path, content):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(run_store, "write_atomically", full)
    monkeypatch.setattr(experiment, "load", lambda data: MNIST)
    assert main([case.name, "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "No space left on device" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("case", "options", "made"),
    [
        (Paper, ["--pruning", "none", "hard"], [(0, "hard"), (0, "none")]),
        (Frontier, ["--sizes", "64KiB", "0.25", "64KiB"], [(0, "64KiB"), (0, 0.25)]),
    ],
)
def test_data_folder_comes_from_the_environment(
    case, tmp_path, monkeypatch, calls, capsys, options, made
):
    fake_estimator.write_mnist(tmp_path / "data", MNIST)
    monkeypatch.setenv("FASTL0_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert main([case.name, "--epochs", "1", "--seeds", "1", *options]) == 0
    assert f"Reading MNIST from {tmp_path / 'data'}." in capsys.readouterr().out
    assert calls == made
    assert len(rows_of(tmp_path / f"fastl0-{case.name}" / case.layout.runs.name)) == 3


def test_fetching_is_announced(case, tmp_path, monkeypatch, calls, capsys):
    monkeypatch.delenv("FASTL0_DATA", raising=False)

    def offline(data):
        assert data is None
        raise OSError("no network")

    monkeypatch.setattr("experiments.mnist.load_mnist", offline)
    assert main([case.name, "--out", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert "fetching MNIST from OpenML" in out
    assert "no network" in err
    assert "--data" in err


def test_help_and_version_need_no_training_code():
    code = (
        "import sys\n"
        "from experiments.__main__ import main\n"
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


def test_it_runs_as_a_folder_from_anywhere(tmp_path):
    folder = os.path.dirname(os.path.abspath(experiment.__file__))
    path = [place for place in sys.path if os.path.abspath(place) != os.path.dirname(folder)]
    found = subprocess.run(
        [sys.executable, folder, "paper", "--plots-only", "--out", "nowhere"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert found.stderr.startswith("experiments paper: error: nowhere must hold paper.csv")
