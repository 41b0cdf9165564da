import csv
import json
import shutil
import warnings

import fake_estimator
import numpy as np
import pytest
from experiments import experiment, frontier, run_store, summary
from experiments.__main__ import main
from experiments.published import PUBLISHED
from sklearn.exceptions import ConvergenceWarning

from fastl0.cli import training_run

MNIST = fake_estimator.mnist()
SIZES = (70_000, 0.25, "64KiB")


def plan(out, **changes):
    return frontier.Plan(out=out, **{"epochs": 3, "seeds": 2, "sizes": SIZES, **changes})


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frontier, "_run", fake_estimator.run)
        frontier.carry_out(plan(folder), MNIST)
    return folder


@pytest.fixture
def whole(uninterrupted, tmp_path):
    """The folder of an uninterrupted start, picture and all."""
    return shutil.copytree(uninterrupted, tmp_path / "whole")


# --- the sizes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        *(("70000", 70_000), ("1", 1), ("1.0", 1.0), ("0.25", 0.25), ("2.5e-1", 0.25)),
        *((text, text) for text in ("64KiB", "262144B", "0.5MB", "1GiB", "256kB")),
    ],
)
def test_sizes_keep_their_types(text, size):
    found = run_store.read_size(text)
    assert (found, type(found)) == (size, type(size))


@pytest.mark.parametrize(
    "text",
    ["", "0", "-5", "0.0", "1.5", "nan", "inf", "many", "KiB", "64 KiB", "64TiB", "64Ki", "../64B"],
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        run_store.read_size(text)


def test_sizes_reach_the_estimator_as_they_were_given(classifier, tmp_path, monkeypatch):
    fake_estimator.write_mnist(tmp_path / "data", MNIST)
    monkeypatch.setattr(summary, "draw_frontier", lambda folder: [])
    options = ["--data", str(tmp_path / "data"), "--epochs", "2", "--seeds", "1", "--sizes"]
    assert main(["frontier", *options, *map(str, SIZES), "--out", str(tmp_path)]) == 0
    seen = [parameters["target_size"] for parameters, _, _ in classifier.seen]
    # First all are tried out, then all are trained.
    assert [(size, type(size)) for size in seen] == [(size, type(size)) for size in SIZES * 2]


def test_sizes_that_the_estimator_refuses_are_found_before_training(
    classifier, tmp_path, monkeypatch, capsys
):
    def refuse(self, X, y, on_epoch):
        if self.parameters["target_size"] == 5:
            raise ValueError("`target_size` must be an int >= 24, got 5. Raise it.")
        return fit(self, X, y, on_epoch)

    fit = classifier._fit
    monkeypatch.setattr(classifier, "_fit", refuse)
    monkeypatch.setattr(experiment, "load", lambda data: MNIST)
    assert main(["frontier", "--sizes", "70000", "5", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err == (
        "experiments frontier: error: "
        "--sizes: `target_size` must be an int >= 24, got 5. Raise it.\n"
    )
    assert list(tmp_path.iterdir()) == []  # free for the sizes that are meant
    ((_, X, y),) = classifier.seen
    assert X.shape == (128, 784)
    assert set(y) == set(range(10))


# --- the files -----------------------------------------------------------------------


def test_frontier_csv_by_hand(whole):
    header, *rows = rows_of(whole / "frontier.csv")
    assert [row[:2] for row in rows] == [[s, str(size)] for s in "01" for size in SIZES]
    assert dict(zip(header, rows[4], strict=True)) == {
        "seed": "1",
        "target_size": "0.25",
        "test_error": "3.23",  # of the network that one gets, not of the last epoch
        "n_parameters": str(151 * 100 + 101 * 50 + 51 * 10),
        "n_units": "150-100-50-10",
        "seconds": "1.5",
    }


def test_history_csv_has_a_row_a_run_and_epoch(whole):
    header, *rows = rows_of(whole / "history.csv")
    assert header == ["seed", "target_size", "epoch", *training_run.HISTORY]
    assert [row[:3] for row in rows] == [
        [s, str(size), e] for s in "01" for size in SIZES for e in "123"
    ]
    assert rows[4][3:7] == ["0.5", "2.49", str(301 * 150 + 151 * 40 + 41 * 10), "300-150-40-10"]


def test_nothing_else_is_written(whole):
    names = {path.name for path in whole.iterdir()}
    files = {"frontier.csv", "history.csv", "summary.txt", "settings.json", "runs"}
    assert names - {"frontier.png"} == files
    runs = {path.name for path in (whole / "runs").iterdir()}
    assert runs == {f"seed{seed}-{size}.json" for seed in (0, 1) for size in SIZES}


def test_picture_is_written(whole):
    pytest.importorskip("matplotlib")
    assert (whole / "frontier.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("size", "rate", "smoothing"),
    [
        (70_000, 0.001, 0.1),
        (27_000, 0.001948, 0.1),
        (0.5, 0.000637, 0.1),
        ("68.36KiB", 0.002639, 0.0),
        (9_700, 0.003, 0.0),
    ],
)
def test_smaller_networks_learn_at_higher_rates_and_large_ones_smoothed_labels(
    size, rate, smoothing
):
    settings = frontier.by_size(size)
    assert settings.pop("learning_rate_init") == pytest.approx(rate, rel=1e-3)
    assert settings == {"label_smoothing": smoothing}


# --- one run ---------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_run_hands_over_its_settings(classifier, tmp_path, size):
    frontier._run(plan(tmp_path), MNIST, 1, size)
    (parameters, _, _) = classifier.seen[0]
    assert (
        fake_estimator.n_parameters((784, *frontier.ESTIMATOR["hidden_layer_sizes"], 10)) == 266_610
    )
    assert parameters == {
        **frontier.ESTIMATOR,
        **frontier.by_size(size),
        "max_iter": 3,
        "n_iter_no_change": 3,
        "target_size": size,
        "random_state": 1,
    }


def test_a_run_measures_the_network_that_one_gets(classifier, tmp_path):
    run = frontier._run(plan(tmp_path), MNIST, 1, 0.25)
    assert run.history["test_error"] == [30.0, 25.0, 20.0]  # 6, 5, 4 wrong of 20
    assert run.test_error == 15.0  # 3 wrong
    assert run.n_units == list(fake_estimator.N_UNITS[0.25][-1])
    assert run.n_parameters == fake_estimator.n_parameters(run.n_units)
    assert json.loads(json.dumps(run._asdict())) == run._asdict()  # NumPy's numbers are no JSON


# --- the summary -----------------------------------------------------------------------


def run_rows(*runs):
    columns = ("target_size", "seed", "test_error", "n_parameters", "n_units")
    return [{"seconds": "10"} | dict(zip(columns, map(str, run), strict=True)) for run in runs]


def test_table_by_hand():
    table = summary.frontier_table(
        run_rows(
            (70_000, 0, 1.5, 69_000, "a"),
            ("64KiB", 0, 3.0, 16_000, "b"),
            (70_000, 1, 1.7, 70_000, "c"),
            (70_000, 2, 1.3, 68_000, "d"),
            ("64KiB", 1, 2.0, 16_384, "e"),
        )
    )
    header, _, first, second = (" ".join(line.split()) for line in table.splitlines())
    assert header == (
        "target size seeds test error (%) parameters training (s) widths of the median run"
    )
    # By test error; of two runs, the better one.
    assert first == "70000 3 1.500 +- 0.200 69,000 +- 1,000 10.0 +- 0.0 a"
    assert second == "64KiB 2 2.500 +- 0.707 16,192 +- 272 10.0 +- 0.0 e"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"0,0.25,2.23", b"0,0.25,\xff", "must be CSV in UTF-8"),
        (b"0,0.25,2.23", b"0,0.25,abc", "line 3: test_error must be a number"),
        (b"0,0.25,2.23", b"0,0.25,nan", "line 3: test_error must be finite"),
        (b"0,0.25,", b"0,2.5,", "target_size must be an int >= 1, a share in (0, 1]"),
        (b"0,64KiB,", b"0,64Kib,", "bytes such as 64KiB, got '64Kib'"),
        (b"\n1,0.25,", b"\n0,0.25,", "must hold 0-0.25 once"),
        (b"target_size", b"size", "must have the columns ['target_size']"),
    ],
)
def test_damaged_csv_ends_in_one_line(whole, capsys, old, new, message):
    before = {path.name: path.read_bytes() for path in whole.glob("*.png")}
    content = (whole / "frontier.csv").read_bytes()
    assert old in content
    (whole / "frontier.csv").write_bytes(content.replace(old, new, 1))
    assert main(["frontier", "--out", str(whole), "--plots-only"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert message in err
    assert "Run without --plots-only" in err
    assert {path.name: path.read_bytes() for path in whole.glob("*.png")} == before


def test_picture_shows_the_runs_and_what_was_published(whole, monkeypatch):
    pictures = pytest.importorskip("experiments.pictures")
    drawn = []
    real = pictures.frontier
    monkeypatch.setattr(
        pictures, "frontier", lambda *args, **names: drawn.append(args) or real(*args, **names)
    )
    assert summary.draw_frontier(whole) == [whole / "frontier.png"]
    ((runs, published),) = drawn
    assert list(runs) == ["70000", "0.25", "64KiB"]
    np.testing.assert_allclose(runs["64KiB"], [[5_070, 2.23], [5_070, 3.23]])
    assert published is PUBLISHED


def test_published_networks():
    pictures = pytest.importorskip("experiments.pictures")
    assert {method.protocol for method in PUBLISHED} == set(pictures.PROTOCOLS)
    by_name = {method.name.partition(" (")[0]: method for method in PUBLISHED}
    assert by_name["dense network"].points == ((266_610, 1.64, 0),)
    assert by_name["VIBNet"] == ("VIBNet", "best on test", ((9_674, 1.6, 0),))
    last_epoch = by_name["Gallego-Posada et al. 2022"]
    assert last_epoch.protocol == "last epoch"
    assert [point[0] for point in last_epoch.points] == [70_854, 49_419, 28_237, 20_231, 9_091]
    assert all(sd > 0 for _, _, sd in last_epoch.points)  # five seeds each


# --- the command -----------------------------------------------------------------------


def test_real_estimator_from_files_to_csv(tmp_path):
    classifier = pytest.importorskip("fastl0.estimators.classifier")
    fake_estimator.write_mnist(tmp_path / "data", MNIST)
    out = tmp_path / "out"
    options = ["--data", str(tmp_path / "data"), "--epochs", "4", "--seeds", "1"]
    assert main(["frontier", *options, "--sizes", "70000", "0.1", "--out", str(out)]) == 0
    header, *rows = rows_of(out / "frontier.csv")

    for size, most, cells in zip((70_000, 0.1), (70_000, 26_661), rows, strict=True):
        parameters = {**frontier.ESTIMATOR, "max_iter": 4, "n_iter_no_change": 4}
        parameters |= frontier.by_size(size)
        direct = classifier.HardL0MLPClassifier(**parameters, target_size=size, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            direct.fit(np.float32(MNIST.X_train) / 255, MNIST.y_train)
        row = dict(zip(header, cells, strict=True))
        assert row["target_size"] == str(size)
        assert int(row["n_parameters"]) == direct.n_parameters_ <= most
        assert row["n_units"] == "-".join(map(str, direct.n_units_))
        error = 100 * (1 - direct.score(np.float32(MNIST.X_test) / 255, MNIST.y_test))
        assert float(row["test_error"]) == pytest.approx(error)
