"""Draws docs/readme_picture.svg: a network that shrinks while it trains, epoch by epoch.

    python docs/readme_picture.py

Needs matplotlib (``pip install "fastl0[plot]"``). The digits come with scikit-learn.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastl0 import HardL0MLPClassifier

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"


def fitted():
    """Return the network of the README's quick start, scored after every epoch."""
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    clf = HardL0MLPClassifier(target_size=0.1, random_state=0)
    return clf.fit(X_train, y_train, X_val=X_test, y_val=y_test)


def panel(ax, title, lines, label):
    """Draw lines, each with its name at `label[name]`, (epoch, height) in data coordinates."""
    for (name, values), colour in zip(lines.items(), (BLUE, ORANGE, GREEN), strict=False):
        ax.plot(range(1, len(values) + 1), values, color=colour, lw=1.8)
        ax.annotate(name, label[name], color=colour, ha="left", va="center")
    ax.set_title(title, loc="left", fontsize=10)
    ax.set_xlabel("epoch")
    ax.grid(color="#DDDDDD", lw=0.6)
    ax.spines[["top", "right"]].set_visible(False)


def picture(clf):
    """Draw units, size and accuracy by epoch."""
    history = clf.history_
    inputs, first, second = zip(*(units[:3] for units in history["n_units"]), strict=True)
    percent = {
        name: [100 * value / history[key][0] for value in history[key]]
        for name, key in (("parameters", "n_parameters"), ("training memory", "buffer_nbytes"))
    }
    accuracy = [100 * score for score in clf.validation_scores_]
    figure, axes = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained")
    panel(
        axes[0],
        "Units left",
        {"hidden layer 1": first, "hidden layer 2": second, "inputs": inputs},
        {"hidden layer 1": (52, 150), "hidden layer 2": (108, 78), "inputs": (12, 28)},
    )
    panel(
        axes[1],
        "Size, % of the start",
        percent,
        {"parameters": (6, 22), "training memory": (62, 58)},
    )
    panel(axes[2], "Accuracy on rows held out, %", {"": accuracy}, {"": (0, 90)})
    axes[0].set_ylim(0, 210)
    axes[1].set_ylim(0, 105)
    axes[2].set_ylim(80, 100)
    return figure


if __name__ == "__main__":
    plt.rcParams |= {"svg.hashsalt": "fastl0", "svg.fonttype": "path", "font.size": 9}
    clf = fitted()
    path = Path(__file__).with_suffix(".svg")
    picture(clf).savefig(path, facecolor="white", metadata={"Date": None})
    print(clf.n_units_, clf.n_parameters_, clf.validation_scores_[-1], path.stat().st_size, "bytes")
