"""Kinds of data frames, and which of them tests may ask for the names of columns."""

import pandas as pd
import polars as pl
import pytest
from sklearn.utils.validation import _get_feature_names

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}

unnamed = pytest.mark.skipif(
    _get_feature_names(pl.DataFrame({"a": [1.0]})) is None,
    reason="scikit-learn below 1.9 sees no names in frames of polars 2",
)
#: Kinds of frames whose names scikit-learn sees.
NAMED = ["pandas", pytest.param("polars", marks=unnamed)]
