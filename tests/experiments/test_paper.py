import csv
import json
import math
import shutil

import fake_estimator
import numpy as np
import pytest
from experiments import paper, run_store, summary
from experiments.__main__ import main

from fastl0.cli import training_run

MNIST = fake_estimator.mnist()
KINDS = ("hard", "soft", "none")


def plan(out, **changes):
    return paper.Plan(out=out, **{"epochs": 3, "seeds": 2, "lam": 0.1, **changes})


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "_run", fake_estimator.run)
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
    history = {name: [1.0] * 25 for name in training_run.HISTORY} | {"epoch_time": times}
    history["n_units"] = [[1]] * 25
    run = run_store.Run(0, "hard", history, [1], [0], test_error=1.0, n_parameters=5)
    table = run_store.PAPER.runs
    (cells,) = table.rows(run, {"dense_parameters": 10})
    row = dict(zip(table.columns, cells, strict=True))
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


def test_a_run_measures_every_epoch(classifier, tmp_path):
    ticks = []
    run = paper._run(plan(tmp_path), MNIST, 1, "hard", lambda: ticks.append(1))
    assert run.history["test_error"] == [30.0, 25.0, 20.0]  # 6, 5, 4 wrong of 20
    assert run.history["n_units"] == [list(widths) for widths in fake_estimator.N_UNITS["hard"]]
    assert run.history["epoch_time"] == [0.25, 0.5, 0.75]
    assert run.n_units == [100, 40, 20, 10]
    assert run.support == list(range(100))
    assert (run.test_error, run.n_parameters) == (20.0, 5_070)
    assert len(ticks) == 3
    assert json.loads(json.dumps(run._asdict())) == run._asdict()  # NumPy's numbers are no JSON


def test_a_run_hands_over_scaled_rows_and_its_settings(classifier, tmp_path):
    paper._run(plan(tmp_path, lam=0.3), MNIST, 1, "soft")
    parameters, X, y = classifier.seen[0]
    assert X.dtype == np.float32
    np.testing.assert_allclose(X, MNIST.X_train / 255, rtol=1e-6)
    np.testing.assert_array_equal(y, MNIST.y_train)
    assert paper.ESTIMATOR.items() >= {"batch_size": 128, "learning_rate_init": 0.001}.items()
    assert fake_estimator.n_parameters((784, *paper.ESTIMATOR["hidden_layer_sizes"], 10)) == 266_610
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
    found = training_run.train(parameters, X, y, X, y)
    assert found.history["test_error"] == [0.0]
    assert found.test_error == 0.0


def test_a_run_cut_short_is_no_run(classifier, tmp_path, monkeypatch):
    def stop_early(self, X, y, on_epoch):
        self.parameters["max_iter"] = 2
        return fit(self, X, y, on_epoch)

    fit = classifier._fit
    monkeypatch.setattr(classifier, "_fit", stop_early)
    with pytest.raises(KeyboardInterrupt):
        paper._run(plan(tmp_path), MNIST, 0, "hard")


# --- the summary -----------------------------------------------------------------------


def run_rows(**by_kind):
    return [
        dict.fromkeys(run_store.PAPER.runs.columns, "0")
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
    runs = run_store.read_csv(whole, run_store.PAPER.runs)
    curves = summary._read_history(whole, runs)
    assert {kind: of_kind["test_error"].shape for kind, of_kind in curves.items()} == {
        "hard": (2, 3),
        "soft": (2, 3),
        "none": (1, 3),
    }
    np.testing.assert_allclose(curves["hard"]["test_error"], [[2.5, 2.49, 2.48], [3.5, 3.49, 3.48]])
    assert summary._read_supports(whole, runs)["none"].shape == (1, 784)


def test_pixels_are_drawn_for_pruned_kinds(whole, monkeypatch):
    pictures = pytest.importorskip("experiments.pictures")
    drawn = {}
    real = pictures.kept_pixels
    monkeypatch.setattr(
        pictures, "kept_pixels", lambda supports: drawn.update(supports) or real(supports)
    )
    summary.draw(whole)
    assert list(drawn) == ["hard", "soft"]
    assert drawn["hard"].shape == (2, 784)
    assert drawn["hard"][:, :100].all()
    assert not drawn["hard"][:, 100:].any()


# --- the command -----------------------------------------------------------------------


def test_real_estimator_from_files_to_csv(tmp_path):
    classifier = pytest.importorskip("fastl0.estimators.classifier")
    fake_estimator.write_mnist(tmp_path / "data", MNIST)
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
