"""Kernels beside their namesakes in `naive`, which get the same numbers in float64."""

import naive
import numpy as np

from fastl0._numba import activations, elementwise, gates, losses, optimizers
from fastl0.kernel_api.codes import ACTIVATIONS, LOSSES

#: All kernels of these modules by name.
KERNELS = {
    name: value
    for module in (elementwise, gates, activations, losses, optimizers)
    for name, value in vars(module).items()
    if hasattr(value, "py_func") or (callable(value) and name.endswith("_"))
}

EPS = float(np.finfo(np.float32).eps)
SHAPES = [(1, 1), (1, 7), (7, 1), (13, 31), (2, 257)]
LENGTHS = [0, 1, 2, 7, 31, 1009]
EXTREMES = [0.0, -0.0, 1e-6, -1e-6, 0.5, -3.0, 20.0, -20.0, 50.0, -50.0, 88.0, -88.0, 1e4, -1e4]
SUBNORMAL = np.float32(1e-40)


def random(shape, scale=1.0, seed=0):
    return np.random.default_rng(seed).normal(0, scale, shape).astype(np.float32)


def both(name, *arguments):
    """Call the kernel and the reference; return their results with all arrays overwritten.

    Activations and losses go by name to the reference, by number to the kernel. Arrays of
    float64 stay what they are.
    """
    numbers = ACTIVATIONS if "loss" not in name else LOSSES
    results = []
    for function, is_kernel in ((KERNELS[name], True), (getattr(naive, name), False)):
        own = []
        for value in arguments:
            if isinstance(value, str):
                own.append(numbers[value] if is_kernel else value)
            elif isinstance(value, np.ndarray):
                own.append(value.astype(value.dtype if is_kernel else float))
            elif isinstance(value, float):
                own.append(np.float32(value) if is_kernel else float(np.float32(value)))
            else:
                own.append(value)
        result = function(*own)
        results.append([*(a for a in own if isinstance(a, np.ndarray)), result])
    return results


#: Of each loss: label smoothing, where it becomes linear, or its level.
PARAMETERS = dict.fromkeys(LOSSES, (0.0,)) | {
    "softmax": (0.1, 0.0),
    "logistic": (0.1, 0.0),
    "huber": (0.5, 2.0),
    "quantile": (0.1, 0.8),
}


def assert_same(name, *arguments, rtol=4 * EPS, atol=0.0):
    for found, expected in zip(*both(name, *arguments), strict=True):
        if expected is not None:
            np.testing.assert_allclose(found, expected, rtol=rtol, atol=atol)
