"""What the two estimators have in common is said in the same words in both docstrings."""

import inspect
import re

import pytest

from fastl0 import (
    HardL0MLPClassifier,
    HardL0MLPClassifierCV,
    HardL0MLPRegressor,
    HardL0MLPRegressorCV,
)

PAIRS = [
    (HardL0MLPClassifier, HardL0MLPRegressor),
    (HardL0MLPClassifierCV, HardL0MLPRegressorCV),
]
#: What differs of necessity: words, by those of the classifier.
OTHER_WORDS = {
    "HardL0MLPClassifier": "HardL0MLPRegressor",
    "the accuracy": "the coefficient of determination R^2",
    "5 of them, stratified": "5 of them",
    "(n_samples, n_labels)": "(n_samples, n_outputs)",
    "(n_val, n_labels)": "(n_val, n_outputs)",
}


def sections(documented):
    """Texts of a numpydoc docstring by section and, in lists, by entry, without line breaks."""
    text = inspect.cleandoc(documented.__doc__)
    parts = re.split(r"^(\w[\w ]*)\n-+\n", text, flags=re.MULTILINE)
    found = {}
    for title, part in zip(parts[1::2], parts[2::2], strict=True):
        entries = re.split(r"^(?=\S)", part, flags=re.MULTILINE)
        for entry in filter(str.strip, entries if title != "Notes" else [part]):
            name = re.split(r" : |\n", entry, maxsplit=1)[0]
            found[title, name if title != "Notes" else ""] = " ".join(entry.split())
    return found


def in_words_of_the_regressor(text):
    for words, others in OTHER_WORDS.items():
        text = text.replace(words, others)
    return text


def differing(first, second, own=()):
    """Entries of both that are not said in the same words."""
    one, other = sections(first), sections(second)
    return [
        key
        for key in one.keys() & other.keys()
        if key[0] in ("Parameters", "Attributes", "Notes", "Raises") and key[1] not in own
        if in_words_of_the_regressor(one[key]) != in_words_of_the_regressor(other[key])
    ]


@pytest.mark.parametrize(("classifier", "regressor"), PAIRS)
def test_what_both_have_is_said_in_the_same_words(classifier, regressor):
    assert len(sections(classifier).keys() & sections(regressor).keys()) > 10
    assert differing(classifier, regressor) == []


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_methods_say_the_same_but_for_y(method):
    pair = (getattr(kind, method) for kind in PAIRS[0])
    assert differing(*pair, own=("y", "y_val")) == []


@pytest.mark.parametrize("kind", [kind for pair in PAIRS for kind in pair])
def test_every_parameter_is_described(kind):
    described = {
        name
        for section, names in sections(kind)
        if section == "Parameters"
        for name in names.split(", ")
    }
    assert described == set(kind().get_params(deep=False))


def test_another_word_is_seen():
    class Other:
        __doc__ = HardL0MLPRegressor.__doc__.replace("Epochs without progress", "Epochs")

    assert differing(HardL0MLPClassifier, Other) == [("Parameters", "n_iter_no_change")]
