"""What the tests of the displays draw, and what they read off a picture."""

from sklearn.base import BaseEstimator

from fastl0 import HardL0MLPClassifier

QUICK = HardL0MLPClassifier((30,), max_iter=15, learning_rate_init=0.003, random_state=0)
SIZES = [0.5, 0.3, 0.1]


class Fitted(BaseEstimator):
    """An estimator of no known class with the attributes given."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def fit(self, X, y):
        return self


def drawn_labels(axis):
    """Tick labels inside the view, as drawn."""
    axis.axes.figure.canvas.draw()
    low, high = sorted(axis.get_view_interval())
    return [
        label
        for label, tick in zip(axis.get_ticklabels(), axis.get_majorticklocs(), strict=True)
        if low <= tick <= high and label.get_text()
    ]


def texts(axis):
    return [label.get_text() for label in drawn_labels(axis)]
