"""How strongly a network depends on each of its inputs, by its weights."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastl0.model.network import Network


def input_importances(
    network: Network, output_scale: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Share of each input in how strongly the outputs depend on the inputs.

    The strength of an input is the root mean square, over the outputs before their activation,
    of their derivatives by the input, where every hidden unit passes a change on with
    probability 1/2, independently of the others. For one hidden layer the mean square is the mean
    of two known measures: the squared sum of the products of weights along all paths (Olden, Joy
    and Death 2004, "An accurate comparison of methods for quantifying variable importance in
    artificial neural networks"), which noise cancels out of but opposite effects as well, and the
    sum of their squares (the path norm of Neyshabur, Salakhutdinov and Srebro 2015, arXiv
    1506.02617), for which it is the other way round. Identity units pass all changes on.

    Parameters
    ----------
    network : Network
    output_scale : array-like of shape (n_outputs,), default=None
        What each output is divided by, > 0.

    Returns
    -------
    float64 array of shape (n_features,)
        Numbers >= 0 with a sum of one, 0 where an input is not read; all 0 where no input moves
        an output.
    """
    last = network.coefs[-1].astype(np.float64)
    factor = _scaled(last if output_scale is None else last / np.asarray(output_scale))
    # The second moments of the derivatives by the units of a layer are ``factor @ factor.T``. Half
    # of the units on means half of that, and as much again on the diagonal; constant factors
    # are of no account.
    for coef in reversed(network.coefs[:-1]):
        parts = [coef @ factor]
        if network.activation != "identity":
            parts.append(coef * np.linalg.norm(factor, axis=1))
        factor = _scaled(np.hstack(parts))
    strengths = np.linalg.norm(factor, axis=1)
    if network.encoding is None:
        found = np.zeros(len(network.support))
        found[network.support] = strengths
    else:  # parts have the same spread, and those of an input add up as squares do
        inputs = network.encoding.parts["input"][network.support]
        found = np.sqrt(np.bincount(inputs, strengths**2, network.encoding.n_features))
    total = found.sum()
    return found / total if total > 0.0 else found


def _scaled(factor: NDArray[np.floating]) -> NDArray[np.float32]:
    """Divide by the largest entry: products over many layers shall not overflow."""
    largest = np.abs(factor).max(initial=0.0)
    return (factor / largest if largest > 0.0 else factor).astype(np.float32, copy=False)
