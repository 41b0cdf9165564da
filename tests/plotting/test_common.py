"""What holds of every display: when matplotlib is imported, and what can be drawn."""

import subprocess
import sys

import pytest
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("matplotlib")

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from display_data import QUICK

import fastl0
from fastl0 import (
    FrontierDisplay,
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    PruningDisplay,
    SupportDisplay,
)

pytestmark = pytest.mark.usefixtures("no_figure_stays")


def test_matplotlib_is_imported_only_where_something_is_drawn():
    code = """
import sys
import fastl0
from fastl0 import FrontierDisplay, PruningDisplay, SupportDisplay
PruningDisplay(n_parameters=[3], buffer_nbytes=[4], loss=[1.0])
SupportDisplay(support=[True], strengths=[1.0])
FrontierDisplay(sizes=[3], scores=[1.0])
sys.exit(any(name.split(".")[0] == "matplotlib" for name in sys.modules))
"""
    path = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=path, check=False).returncode == 0


def test_the_names_are_public():
    assert {"FrontierDisplay", "PruningDisplay", "SupportDisplay"} <= set(dir(fastl0))


@pytest.mark.parametrize(
    ("draw", "caller"),
    [
        (lambda: PruningDisplay.from_estimator(None), "PruningDisplay.from_estimator"),
        (lambda: SupportDisplay.from_estimator(None), "SupportDisplay.from_estimator"),
        (lambda: FrontierDisplay.from_estimator(None), "FrontierDisplay.from_estimator"),
        (lambda: FrontierDisplay.from_path(None), "FrontierDisplay.from_path"),
        (
            lambda: PruningDisplay(n_parameters=[3], buffer_nbytes=[4], loss=[1.0]).plot(),
            "PruningDisplay.plot",
        ),
        (lambda: SupportDisplay(support=[True], strengths=[1.0]).plot(), "SupportDisplay.plot"),
        (lambda: FrontierDisplay(sizes=[3], scores=[1.0]).plot(), "FrontierDisplay.plot"),
    ],
)
def test_without_matplotlib_the_error_says_what_to_install(monkeypatch, draw, caller):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=rf'{caller} needs.*pip install "fastl0\[plot\]"'):
        draw()


@pytest.mark.parametrize("display", [PruningDisplay, SupportDisplay])
def test_an_unfitted_estimator_is_an_error(display):
    with pytest.raises(NotFittedError):
        display.from_estimator(HardL0MLPClassifier())
    with pytest.raises(NotFittedError):
        display.from_estimator(make_pipeline(StandardScaler(), HardL0MLPClassifier()))
    with pytest.raises(TypeError, match="is a class"):
        display.from_estimator(HardL0MLPClassifier)
    assert not plt.get_fignums()


def test_an_unfitted_search_is_an_error():
    with pytest.raises(NotFittedError):
        FrontierDisplay.from_estimator(HardL0MLPClassifierCV())


def test_a_pipeline_is_told_to_give_its_network(digits):
    pipeline = make_pipeline(StandardScaler(), QUICK).fit(*digits)
    for display in (PruningDisplay, SupportDisplay):
        with pytest.raises(TypeError, match=r"got Pipeline without .*pipeline\[-1\]"):
            display.from_estimator(pipeline)
        display.from_estimator(pipeline[-1])


def test_estimators_without_the_attributes_are_errors(digits, digits_search, digits_path, pruned):
    with pytest.raises(TypeError, match=r"got HardL0MLPClassifierCV .*search\.best_estimator_"):
        PruningDisplay.from_estimator(digits_search)
    PruningDisplay.from_estimator(digits_search.best_estimator_)
    with pytest.raises(TypeError, match=r"got L0Path without .*path\.estimators\[0\]"):
        PruningDisplay.from_estimator(digits_path)
    with pytest.raises(TypeError, match=r"got L0Path without .* drawn by from_path"):
        FrontierDisplay.from_estimator(digits_path)
    with pytest.raises(TypeError, match=r"got HardL0MLPClassifier without scores_.*RegressorCV"):
        FrontierDisplay.from_estimator(pruned)
    with pytest.raises(TypeError, match=r"got HardL0MLPClassifierCV.* drawn by from_estimator"):
        FrontierDisplay.from_path(digits_search)
    other = MLPClassifier((3,), max_iter=300, tol=0.1).fit(digits[0][:50], digits[1][:50])
    with pytest.raises(TypeError, match="got MLPClassifier without support_"):
        SupportDisplay.from_estimator(other)
    assert len(plt.get_fignums()) == 1


def test_pictures_can_be_saved(pruned, digits_search, tmp_path):
    displays = [
        PruningDisplay.from_estimator(pruned, name="digits"),
        SupportDisplay.from_estimator(pruned),
        SupportDisplay.from_estimator(pruned, image_shape=(8, 8)),
        FrontierDisplay.from_estimator(digits_search),
    ]
    for number, display in enumerate(displays):
        file = tmp_path / f"{number}.png"
        display.figure_.savefig(file)
        assert file.read_bytes().startswith(b"\x89PNG")
