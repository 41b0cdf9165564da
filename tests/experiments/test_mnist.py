import gzip
import os
from pathlib import Path

import fake_estimator
import numpy as np
import pytest
import sklearn.datasets
from experiments.mnist import load_mnist
from sklearn.utils import Bunch

IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


@pytest.fixture
def folder(tmp_path):
    fake_estimator.write_mnist(tmp_path, fake_estimator.mnist())
    return tmp_path


def replace(folder, name, content, *, packed=True):
    (folder / name).write_bytes(gzip.compress(content) if packed else content)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["", "mnist"])
def test_reads_what_was_written(tmp_path, packed, place):
    expected = fake_estimator.mnist()
    fake_estimator.write_mnist(tmp_path / place, expected, packed=packed)
    for array, wanted in zip(load_mnist(tmp_path), expected, strict=True):
        assert array.dtype == np.uint8
        assert array.flags.writeable
        np.testing.assert_array_equal(array, wanted)


def test_takes_the_folder_as_text(folder):
    assert load_mnist(str(folder)).X_test.shape == (fake_estimator.N_TEST, 784)


def test_a_tilde_is_the_home_of_the_user(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load_mnist(f"~/{folder.name}").X_train) > 0


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must be a folder, got .*nowhere"):
        load_mnist(tmp_path / "nowhere")


def test_missing_file_is_named(folder):
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="must hold t10k-labels-idx1-ubyte"):
        load_mnist(folder)


X, Y = fake_estimator.mnist()[:2]
CUBE = X.reshape(-1, 28, 28)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, fake_estimator.idx(CUBE, magic=2049), r"magic number 2051 .* got 2049.*swapped"),
        (LABELS, fake_estimator.idx(Y, magic=2051), r"magic number 2049 .* got 2051"),
        (IMAGES, b"\0\0\10\3\0", r"header of 16 bytes, got 5 bytes.*cut short"),
        (IMAGES, fake_estimator.idx(CUBE)[:-1], r"must hold 101936 bytes.*got 101935.*cut short"),
        (LABELS, fake_estimator.idx(Y) + b"\0", r"must hold 138 bytes.*got 139"),
        (
            IMAGES,
            fake_estimator.idx(CUBE, dimensions=(130, 14, 56)),
            r"28 x 28 pixels, got 14 x 56",
        ),
        (IMAGES, fake_estimator.idx(CUBE, dimensions=(2**32 - 1,) * 3), r"must hold \d{29} bytes"),
        (IMAGES, fake_estimator.idx(CUBE[:0]), r"must hold images, got 0"),
        (LABELS, fake_estimator.idx(Y[:-1]), r"same number.*got 130 images and 129 labels"),
        (LABELS, fake_estimator.idx(Y + 1), r"digits from 0 to 9, got 10"),
    ],
)
def test_broken_file_says_what_is_wrong(folder, name, content, message):
    replace(folder, name, content)
    with pytest.raises(ValueError, match=message) as error:
        load_mnist(folder)
    assert name in str(error.value)


@pytest.mark.parametrize("damage", ["cut", "flipped", "garbled", "foreign"])
def test_broken_gzip_says_so(folder, damage):
    content = bytearray((folder / IMAGES).read_bytes())
    if damage == "cut":
        del content[-20:]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0xFF
    elif damage == "garbled":
        content[10] = 0xFF  # a kind of block that does not exist, right behind the header
    else:
        content = bytearray(b"<html>404</html>")
    replace(folder, IMAGES, bytes(content), packed=False)
    with pytest.raises(ValueError, match=r"train-images.*whole gzip file.*Download it again"):
        load_mnist(folder)


def openml(dtype):
    """Serve what OpenML's mnist_784 gives: integers or floats, and labels as strings."""
    column = (np.arange(70_000) % 256).astype(dtype)[:, None]
    target = np.array([str(i % 10) for i in range(70_000)], dtype=object)
    return Bunch(data=np.broadcast_to(column, (70_000, 784)), target=target)


def check_openml(data):
    assert [array.shape for array in data] == [(60_000, 784), (60_000,), (10_000, 784), (10_000,)]
    assert all(array.dtype == np.uint8 for array in data)
    np.testing.assert_array_equal(data.X_train[:, 7], np.arange(60_000) % 256)
    np.testing.assert_array_equal(data.X_test[:, 783], np.arange(60_000, 70_000) % 256)
    np.testing.assert_array_equal(data.y_test, np.arange(10_000) % 10)


def test_fetches_from_openml(monkeypatch):
    calls = []

    def fetch(*args, **kwargs):
        calls.append((args, kwargs))
        return openml(np.int64)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    check_openml(load_mnist())
    assert calls == [(("mnist_784",), {"version": 1, "as_frame": False})]


def test_fetches_without_pandas(monkeypatch):
    def fetch(name, *, version, as_frame, parser="auto"):
        if parser != "liac-arff":
            raise ImportError("requires pandas")
        return openml(np.float64)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    check_openml(load_mnist())


def test_foreign_data_from_openml_is_refused(monkeypatch):
    bunch = Bunch(data=np.zeros((150, 4)), target=np.zeros(150, dtype=object))
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda *_, **__: bunch)
    with pytest.raises(ValueError, match=r"shape \(70000, 784\), got \(150, 4\)"):
        load_mnist()


REAL = Path(os.environ.get("FASTL0_DATA") or "nowhere")


@pytest.mark.skipif(not REAL.is_dir(), reason="FASTL0_DATA names no folder")
def test_reads_the_real_set():
    data = load_mnist(REAL)
    assert data.X_train.shape == (60_000, 784)
    assert data.X_test.shape == (10_000, 784)
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.y_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.count_nonzero(data.X_train.max(axis=0) == 0) == 67
