import sys

import fake_estimator
import numpy as np
import pytest

from fastl0.cli import demo, main, training_run

X_TRAIN, Y_TRAIN, X_TEST, Y_TEST = fake_estimator.mnist()


@pytest.fixture
def quick(monkeypatch, classifier):
    """Swap the estimator and the digits for stand-ins."""
    data = (np.float32(X_TRAIN / 255), Y_TRAIN, np.float32(X_TEST / 255), Y_TEST)
    monkeypatch.setattr(demo, "_digits", lambda seed: data)


def run(*options):
    return main(["demo", *(str(option) for option in options)])


def test_table_holds_the_last_epoch(quick, tmp_path, capsys):
    assert run("--epochs", 3, "--out", tmp_path / "demo.png") == 0
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line}
    size = 101 * 40 + 41 * 20 + 21 * 10
    # Two epochs after the first, 5 - 2 of 20 test rows are wrong; 0.25 + 0.5 + 0.75 seconds.
    assert rows["hard"] == [
        *("hard", "85.0", "%", "100-40-20-10", f"{size:,}"),
        *(f"{16 * (501 * 60 + 61 * 40 + 41 * 10):,}", "B", f"{16 * size:,}", "B", "1.5"),
    ]
    assert rows["soft"][3:6] == ["784-300-100-10", "266,610", "4,265,760"]
    assert rows["none"][1] == "85.0"
    assert err == ""  # no progress bar where there is no terminal


def test_picture_is_written_where_it_says(quick, tmp_path, capsys):
    path = tmp_path / "new" / "demo.png"
    assert run("--epochs", 2, "--out", path) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"Picture: {path}" in capsys.readouterr().out
    assert [file.name for file in path.parent.iterdir()] == ["demo.png"]


def test_seed_and_epochs_reach_the_estimator(quick, tmp_path):
    run("--epochs", 4, "--seed", 7, "--out", tmp_path / "demo.png")
    seen = [parameters for parameters, _, _ in fake_estimator.Classifier.seen]
    assert [parameters["pruning"] for parameters in seen] == ["hard", "soft", "none"]
    assert {parameters["random_state"] for parameters in seen} == {7}
    assert {parameters["max_iter"] for parameters in seen} == {4}
    assert {parameters["n_iter_no_change"] for parameters in seen} == {4}


def test_table_comes_without_matplotlib(quick, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "fastl0.cli.curves", raising=False)
    assert run("--epochs", 1, "--out", tmp_path / "demo.png") == 0
    out = capsys.readouterr().out
    assert "266,610" in out
    assert 'pip install "fastl0[plot]"' in out
    assert not (tmp_path / "demo.png").exists()


def test_split_is_stratified_and_seeded():
    X_train, y_train, X_test, y_test = demo._digits(3)
    assert len(X_train) + len(X_test) == 1797
    assert X_train.dtype == X_test.dtype == np.float32
    assert (X_train.min(), X_train.max()) == (0, 1)
    shares = np.bincount(y_test) / len(y_test) - np.bincount(y_train) / len(y_train)
    assert abs(shares).max() < 0.005
    np.testing.assert_array_equal(X_test, demo._digits(3)[2])
    assert not np.array_equal(X_test, demo._digits(4)[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "--epochs: must be an int >= 1, got '0'"),
        (["--epochs", "many"], "got 'many'"),
        (["--seed", "-1"], "--seed: must be an int >= 0, got '-1'"),
        (["--seed", str(2**32)], "int < 2**32"),
        (["--out", "demo.pdf"], "must name a .png file, got 'demo.pdf'"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_wrong_options_end_in_one_line_and_code_2(quick, options, message, capsys):
    try:
        code = run(*options)
    except SystemExit as end:  # argparse's own way out
        code = end.code
    out, err = capsys.readouterr()
    assert code == 2
    assert err.count("\n") == 1
    assert message in err
    assert out == ""


def test_picture_cannot_go_into_a_file(quick, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run("--out", tmp_path / "file" / "demo.png") == 2
    assert "must be a folder" in capsys.readouterr().err


def test_unwritable_picture_is_found_before_training(quick, tmp_path, capsys):
    (tmp_path / "demo.png.tmp").mkdir()
    assert run("--out", tmp_path / "demo.png") == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "demo.png.tmp must be free for a file, got a folder" in err
    assert out == ""
    assert fake_estimator.Classifier.seen == []


def test_interrupt_ends_with_130(quick, tmp_path, capsys, monkeypatch):
    def interrupt(self, X, y, on_epoch):
        raise KeyboardInterrupt

    monkeypatch.setattr(fake_estimator.Classifier, "_fit", interrupt)
    assert run("--out", tmp_path / "demo.png") == 130
    assert "Interrupted." in capsys.readouterr().err


def test_real_estimator_shrinks_its_memory(tmp_path, capsys):
    data = demo._digits(0)
    parameters = {**demo.ESTIMATOR, "max_iter": 12, "random_state": 0}
    hard = training_run.train({**parameters, "pruning": "hard"}, *data)
    soft = training_run.train({**parameters, "pruning": "soft"}, *data)
    assert len(hard.history["loss"]) == 12
    assert hard.history["buffer_nbytes"][-1] < hard.history["buffer_nbytes"][0]
    assert len(set(soft.history["buffer_nbytes"])) == 1
    assert hard.history["n_parameters_folded"][-1] == fake_estimator.n_parameters(hard.n_units)
    assert len(hard.support) == hard.n_units[0]
    assert hard.history["test_error"][-1] < 20
