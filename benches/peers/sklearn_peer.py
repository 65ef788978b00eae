"""scikit-learn's MLPClassifier and MLPRegressor."""

import warnings

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier, MLPRegressor

import common

# A schedule in steps of an epoch gets there later.
EPOCHS = common.COLD_EPOCHS + 2


def net_of(case, seed, **options):
    kind = MLPClassifier if case.loss == "cross-entropy" else MLPRegressor
    return kind(
        hidden_layer_sizes=case.widths[1:-1],
        batch_size=case.batch,
        # It has no AdamW: the nearest is Adam with an L2 term.
        solver="sgd" if case.optimizer == "sgd" else "adam",
        alpha=common.WEIGHT_DECAY if case.optimizer == "adamw" else 0,
        learning_rate_init=case.lr,
        momentum=0,
        random_state=seed,
        n_iter_no_change=10**9,
        **options,
    )


def prepare(case, x, y, args):
    net = net_of(case, args.seed, warm_start=True)
    y = y.ravel() if case.widths[-1] == 1 else y

    def epochs(n):
        net.max_iter = n
        net.fit(x, y)
        return net.loss_

    # The last, smaller batch of an epoch is trained too.
    return epochs, len(x) / case.batch


def cold(args):
    x, y, held_x, held_y = common.split_mnist(args.data, args.seed)
    case = common.COLD
    net = net_of(case, args.seed)

    def epoch(e):
        if e > 0:  # the schedule, in steps of an epoch
            net._optimizer.learning_rate_init = case.lr * (1 - (e + 0.5) / EPOCHS)
        net.partial_fit(x, y, classes=range(10))
        return net.score(held_x, held_y)

    return common.until_accurate(epoch, EPOCHS)


def product(n, args):
    """numpy's, on the BLAS that scikit-learn uses too."""
    a, b, c = (np.ones((n, n), np.float32) for _ in range(3))

    def products(count):
        for _ in range(count):
            np.matmul(a, b, out=c)
        return c[0, 0]

    return products


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    common.main("sklearn", f"{sklearn.__version__}, numpy {np.__version__}", prepare, cold, product)
