"""Reads MNIST: local IDX files, or scikit-learn's copy from OpenML."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

IMAGE_SIDE = 28
N_PIXELS = IMAGE_SIDE * IMAGE_SIDE
N_TRAIN = 60_000
N_ROWS = 70_000

_IMAGES_MAGIC = 2051  # unsigned bytes in three dimensions
_LABELS_MAGIC = 2049  # unsigned bytes in one dimension

Bytes = npt.NDArray[np.uint8]


class MNIST(NamedTuple):
    """Images as uint8 rows of 784 pixels from 0 to 255, labels as uint8 digits from 0 to 9."""

    X_train: Bytes
    y_train: Bytes
    X_test: Bytes
    y_test: Bytes


def load_mnist(data: str | os.PathLike[str] | None = None) -> MNIST:
    """Read MNIST from a folder of IDX files, or fetch it from OpenML.

    Parameters
    ----------
    data : path-like or None, default=None
        Folder that holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``,
        ``t10k-images-idx3-ubyte`` and ``t10k-labels-idx1-ubyte``, packed (``.gz``) or not, itself
        or in its subfolder ``mnist``. None asks :func:`sklearn.datasets.fetch_openml`, which
        downloads the set once and keeps it in scikit-learn's data folder.

    Returns
    -------
    MNIST
        ``X_train`` (n, 784), ``y_train`` (n,), ``X_test`` (m, 784) and ``y_test`` (m,), all uint8;
        scaling is up to the caller.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the four files is missing.
    ValueError
        If a file breaks the IDX format, is cut short, or does not fit its partner.
    """
    if data is None:
        return _fetch()
    folder = Path(os.path.expanduser(data))
    if not folder.is_dir():
        raise FileNotFoundError(
            f"`data` must be a folder, got {str(folder)!r}. "
            "Name the folder of the MNIST files, or leave the option out to fetch them."
        )
    X_train, y_train = _read_pair(folder, "train")
    X_test, y_test = _read_pair(folder, "t10k")
    return MNIST(X_train, y_train, X_test, y_test)


def _read_pair(folder: Path, prefix: str) -> tuple[Bytes, Bytes]:
    images_path = _find(folder, f"{prefix}-images-idx3-ubyte")
    labels_path = _find(folder, f"{prefix}-labels-idx1-ubyte")
    images = _read_images(images_path)
    labels = _read_labels(labels_path)
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} and {labels_path} must hold the same number of items, "
            f"got {len(images)} images and {len(labels)} labels. "
            "Download both files from the same source."
        )
    return images, labels


def _find(folder: Path, name: str) -> Path:
    for place in (folder, folder / "mnist"):
        for path in (place / f"{name}.gz", place / name):
            if path.is_file():
                return path
    raise FileNotFoundError(
        f"{folder} must hold {name}.gz or {name}, itself or in its subfolder mnist, got neither. "
        "Put the file there, or name another folder."
    )


def _read_images(path: Path) -> Bytes:
    shape, values = _read_idx(path, _IMAGES_MAGIC, "images")
    if shape[1:] != (IMAGE_SIDE, IMAGE_SIDE):
        raise ValueError(
            f"{path} must hold images of {IMAGE_SIDE} x {IMAGE_SIDE} pixels, "
            f"got {shape[1]} x {shape[2]}. Download the original MNIST file."
        )
    return values.reshape(shape[0], N_PIXELS)


def _read_labels(path: Path) -> Bytes:
    _, values = _read_idx(path, _LABELS_MAGIC, "labels")
    if values.max() > 9:
        raise ValueError(
            f"{path} must hold digits from 0 to 9, got {values.max()}. "
            "Download the original MNIST file."
        )
    return values


def _read_idx(path: Path, magic: int, content: str) -> tuple[tuple[int, ...], Bytes]:
    """Check the header of an IDX file and return its shape and its values, flat."""
    raw = _read_bytes(path)
    n_dimensions = magic % 256
    header = 4 * (1 + n_dimensions)
    if len(raw) < header:
        raise ValueError(
            f"{path} must hold a header of {header} bytes, got {len(raw)} bytes. "
            "The file is cut short: download it again."
        )
    fields = [int.from_bytes(raw[i : i + 4], "big") for i in range(0, header, 4)]
    if fields[0] != magic:
        raise ValueError(
            f"{path} must start with the magic number {magic} (IDX {content}), got {fields[0]}. "
            "Check that images and labels are not swapped, or download the file again."
        )
    shape = tuple(fields[1:])
    if shape[0] == 0:
        raise ValueError(f"{path} must hold {content}, got 0 of them. Download the file again.")
    n_values = int(np.prod(shape, dtype=np.float64))
    if len(raw) != header + n_values:
        raise ValueError(
            f"{path} must hold {header + n_values} bytes after its header's dimensions {shape}, "
            f"got {len(raw)}. The file is cut short or damaged: download it again."
        )
    return shape, np.frombuffer(raw, dtype=np.uint8, offset=header).copy()


def _read_bytes(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} must be a whole gzip file, got one that does not unpack ({error}). "
            "Download it again."
        ) from error


def _fetch() -> MNIST:
    from sklearn.datasets import fetch_openml

    try:
        bunch = fetch_openml("mnist_784", version=1, as_frame=False)
    except ImportError:  # the default parser needs pandas, this slower one nothing
        bunch = fetch_openml("mnist_784", version=1, as_frame=False, parser="liac-arff")
    images = np.asarray(bunch.data)
    if images.shape != (N_ROWS, N_PIXELS):
        raise ValueError(
            f"OpenML's mnist_784 must have the shape {(N_ROWS, N_PIXELS)}, got {images.shape}. "
            "Clear scikit-learn's data folder, or give a folder of IDX files."
        )
    X = images.astype(np.uint8)
    y = np.asarray(bunch.target).astype(np.uint8)  # the labels come as strings
    return MNIST(X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:])
