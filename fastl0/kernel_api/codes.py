"""Numbers by which kernels know activations, losses and solvers."""

IDENTITY, LOGISTIC, TANH, RELU = range(4)
ACTIVATIONS = {"identity": IDENTITY, "logistic": LOGISTIC, "tanh": TANH, "relu": RELU}

(
    SOFTMAX_LOSS, LOGISTIC_LOSS, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, QUANTILE, POISSON,
) = range(7)  # fmt: skip
LOSSES = {
    "softmax": SOFTMAX_LOSS,
    "logistic": LOGISTIC_LOSS,
    "squared_error": SQUARED_ERROR,
    "absolute_error": ABSOLUTE_ERROR,
    "huber": HUBER,
    "quantile": QUANTILE,
    "poisson": POISSON,
}

ADAM, SGD = range(2)
SOLVERS = {"adam": ADAM, "sgd": SGD}
