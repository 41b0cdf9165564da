"""One training epoch in every library, at its best honest setting.

    python benches/libraries.py NAME --data DIR [--threads N] [--widths 784,300,100,10]

`compare.py` starts one such process for each library: it makes everything ready, trains one
epoch to warm up, prints "ready", and for every line it reads trains one more (or several,
where one is over in a moment) and prints the seconds of one. Processes that wait keep no
thread awake, so that libraries which take turns do not disturb each other. All train with
Adam on float32 rows of MNIST in [0, 1], in shuffled mini-batches of 128.
"""

import argparse
import math
import os
import sys
import time
import warnings

import workloads

BATCH_SIZE = workloads.BATCH_SIZE
RATE = 1e-3
#: Seconds. Caches are cold and threads asleep when a turn begins: a shorter one would tell of that.
SHORTEST_TURN = 0.4


# --- fastl0 --------------------------------------------------------------------------


def fastl0(pruning):
    def make(X, y, widths, n_threads):
        # Kept at its size: the learning rates are too low to close a gate for good.
        epoch = workloads.Epoch(widths, pruning, X, y, n_threads)
        epoch.__enter__()
        return epoch.run

    return make


# --- the bare products ---------------------------------------------------------------


def products(n_parts):
    def make(X, y, widths, n_threads):
        from threadpoolctl import threadpool_limits

        threadpool_limits(1 if n_parts > 1 else n_threads, user_api="blas")
        n_batches = -(-len(X) // BATCH_SIZE)
        return workloads.Products(widths, n_batches, n_parts).run

    return make


# --- scikit-learn --------------------------------------------------------------------


def sklearn_float64(X, y, widths, n_threads):
    """The same on float64 rows, which is what most tables are read as."""
    return sklearn(X.astype("f8"), y, widths, n_threads)


def sklearn(X, y, widths, n_threads):
    from sklearn.neural_network import MLPClassifier
    from threadpoolctl import threadpool_limits

    threadpool_limits(n_threads, user_api="blas")
    model = MLPClassifier(widths[1:-1], batch_size=BATCH_SIZE, learning_rate_init=RATE)
    model.partial_fit(X[:BATCH_SIZE], y[:BATCH_SIZE], classes=range(widths[-1]))
    return lambda: model.partial_fit(X, y)


# --- PyTorch -------------------------------------------------------------------------


def torch_dense(compiled):
    def make(X, y, widths, n_threads):
        torch = set_up_torch(n_threads)
        layers = []
        for fan_in, fan_out in zip(widths[:-1], widths[1:], strict=True):
            layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])

        def loss(rows, labels):
            return torch.nn.functional.cross_entropy(model(rows), labels)

        optimiser = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
        return torch_epoch(torch, X, y, torch.compile(loss) if compiled else loss, optimiser)

    return make


def torch_soft_l0(compiled):
    """Soft L0 network of [LWK]: one gate for each unit and mini-batch, on activations."""

    def make(X, y, widths, n_threads):
        torch = set_up_torch(n_threads)
        layers = [torch.nn.Linear(i, o) for i, o in zip(widths[:-1], widths[1:], strict=True)]
        log_odds = [
            torch.nn.Parameter(torch.full((width,), start))
            for width, start in zip(widths[:-1], [1.386] + [0.0] * (len(widths) - 2), strict=True)
        ]
        gamma, zeta, beta, shift = -0.1, 1.1, 2 / 3, 1.598597
        fan_outs = widths[1:]
        strength = 0.1 / len(X)

        def loss(rows, labels):
            h = rows
            penalty = 0.0
            for number, (layer, a, fan_out) in enumerate(
                zip(layers, log_odds, fan_outs, strict=True)
            ):
                u = torch.rand_like(a).clamp_(1e-6, 1 - 1e-6)
                s = torch.sigmoid((torch.logit(u) + a) / beta)
                z = torch.clamp(s * (zeta - gamma) + gamma, 0.0, 1.0)
                penalty = penalty + fan_out * torch.sigmoid(a + shift).sum()
                h = layer(h * z)
                if number < len(layers) - 1:
                    h = torch.relu(h)
            return torch.nn.functional.cross_entropy(h, labels) + strength * penalty

        weights = [p for layer in layers for p in layer.parameters()]
        groups = [{"params": weights, "lr": RATE}, {"params": log_odds, "lr": 10 * RATE}]
        optimiser = torch.optim.Adam(groups, fused=True)
        return torch_epoch(torch, X, y, torch.compile(loss) if compiled else loss, optimiser)

    return make


def set_up_torch(n_threads):
    import torch

    torch.set_num_threads(n_threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(0)
    return torch


def torch_epoch(torch, X, y, loss, optimiser):
    rows, labels = torch.from_numpy(X), torch.from_numpy(y).long()
    n_rows = len(rows)

    def run():
        order = torch.randperm(n_rows)
        for start in range(0, n_rows, BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            optimiser.zero_grad(set_to_none=True)
            loss(rows[batch], labels[batch]).backward()
            optimiser.step()

    return run


LIBRARIES = {
    "fastl0 none": fastl0("none"),
    "fastl0 soft": fastl0("soft"),
    "fastl0 hard": fastl0("hard"),
    "BLAS products": products(1),
    "BLAS products, mini-batch split": products(2),
    "scikit-learn": sklearn,
    "scikit-learn, float64": sklearn_float64,
    "PyTorch eager": torch_dense(compiled=False),
    "PyTorch compiled": torch_dense(compiled=True),
    "PyTorch soft L0 eager": torch_soft_l0(compiled=False),
    "PyTorch soft L0 compiled": torch_soft_l0(compiled=True),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=LIBRARIES)
    parser.add_argument("--data", help="folder of the MNIST files; without it random images")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--widths", default=",".join(map(str, workloads.WHOLE)))
    arguments = parser.parse_args()
    if arguments.data:
        os.environ["FASTL0_DATA"] = arguments.data
    warnings.simplefilter("ignore")
    X, y = workloads.load_images()
    widths = tuple(int(width) for width in arguments.widths.split(","))
    X = workloads.scaled(X)
    if widths[0] < X.shape[1] and not arguments.name.startswith("fastl0"):
        # The columns that fastl0 keeps at this width, without the way to them.
        X = X[:, workloads.strongest_columns(X, widths[0])]
    run = LIBRARIES[arguments.name](X, y, widths, arguments.threads)
    run()
    n_epochs = math.ceil(SHORTEST_TURN / seconds(run, 1))
    print("ready", flush=True)
    for _ in sys.stdin:
        print(seconds(run, n_epochs), flush=True)


def seconds(run, n_epochs):
    """Of one epoch, when several follow each other."""
    start = time.perf_counter()
    for _ in range(n_epochs):
        run()
    return (time.perf_counter() - start) / n_epochs


if __name__ == "__main__":
    main()
