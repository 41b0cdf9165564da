"""Texts that docstrings share."""

import pytest

from fastl0.estimators.docstrings import documented


@pytest.mark.parametrize("indent", ["", "    "])
def test_a_filled_docstring_is_flush_however_it_was_compiled(indent):
    """From Python 3.13 on docstrings of classes come without their indentation."""

    class Kind:
        pass

    Kind.__doc__ = f"First.\n\n{indent}{{parts}}\n{indent}last : {{what}}\n"
    documented(parts="one : {what}\n        Text.\n    two", what="int")(Kind)
    assert Kind.__doc__ == "First.\n\none : int\n    Text.\ntwo\nlast : int"
