"""The texts that the docstrings of estimators share; all else is tested by way of the two."""

import inspect
import re

import pytest

import fastl0

ESTIMATORS = [
    fastl0.HardL0MLPClassifier,
    fastl0.HardL0MLPRegressor,
    fastl0.HardL0MLPClassifierCV,
    fastl0.HardL0MLPRegressorCV,
]


def names_in(text, section):
    """Names of the entries of a section, as they stand at the left edge."""
    body = re.search(rf"^{section}\n-+\n(.*?)(?=^\w[^\n]*\n---|\Z)", text, re.M | re.S)[1]
    found = re.findall(r"^(\w[\w, ]*?)(?: : |$)", body, re.M)
    return [name for names in found for name in names.split(", ")]


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_every_parameter_is_documented_in_order_and_nothing_else(kind):
    parameters = list(inspect.signature(kind).parameters)
    found = names_in(inspect.getdoc(kind), "Parameters")
    assert sorted(found) == sorted(parameters)
    assert found[0] == parameters[0]
    assert "{" not in re.sub(r"\{[\"a][^}]*\}", "", kind.__doc__)  # but for sets of values


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_attributes_are_documented_at_the_left_edge(kind):
    found = names_in(inspect.getdoc(kind), "Attributes")
    assert {"coefs_", "intercepts_", "support_", "n_features_in_", "n_outputs_"} <= set(found)
    assert len(found) == len(set(found))
    assert all(name.endswith("_") for name in found)


@pytest.mark.parametrize("estimator", ESTIMATORS[:2])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_docstrings_of_methods_describe_every_argument(estimator, method):
    function = getattr(estimator, method)
    text = inspect.getdoc(function)
    assert not re.search(r"\{\w+\}", text)
    described = re.findall(r"^([\w, ]+) : ", text[text.index("Parameters") :], re.MULTILINE)
    names = [name for part in described for name in part.split(", ")]
    assert names == [*list(inspect.signature(function).parameters)[1:], "self"]


@pytest.mark.parametrize("name", sorted(set(fastl0.__all__) - {"__version__"}))
def test_help_shows_signatures_with_the_names_of_types(name):
    """Not with all that an alias such as ArrayLike stands for, which fills a screen."""
    entry = getattr(fastl0, name)
    public = [part for key, part in inspect.getmembers(entry, callable) if key[0] != "_"]
    for each in filter(callable, [entry, *public]):
        assert "_SupportsArray" not in str(inspect.signature(each))
