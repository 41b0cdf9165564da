"""Runs the examples of docstrings."""

import doctest


def n_failed(*documented):
    """Run the examples in the docstrings of classes and functions, which must have some."""
    runner = doctest.DocTestRunner()
    for one in documented:
        found = [test for test in doctest.DocTestFinder().find(one, module=False) if test.examples]
        assert found, one
        for test in found:
            runner.run(test)
    return runner.summarize().failed
