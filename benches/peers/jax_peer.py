"""JAX: a jitted epoch, `lax.scan` over its steps, parameters and optimizer state donated."""

import functools
import itertools
import os
import sys
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
cpu = Path("/proc/cpuinfo")
if cpu.exists() and "avx512f" in cpu.read_text():
    # A tenth more samples per second than its default of 256 bits.
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_prefer_vector_width=512")

import jax
import numpy as np
import optax
from jax import lax
from jax import numpy as jnp

import common


def init(widths, key):
    """PyTorch's initialization: uniform within 1/√n_in."""
    params = []
    for n, m in itertools.pairwise(widths):
        key, a, b = jax.random.split(key, 3)
        r = n**-0.5
        w = jax.random.uniform(a, (n, m), minval=-r, maxval=r)
        params.append((w, jax.random.uniform(b, (m,), minval=-r, maxval=r)))
    return params


def forward(params, x):
    for w, b in params[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = params[-1]
    return x @ w + b


def optimizer_of(case, lr):
    if case.optimizer == "adam":
        return optax.adam(lr)
    if case.optimizer == "adamw":
        return optax.adamw(lr, weight_decay=common.WEIGHT_DECAY)
    return optax.sgd(lr)


def trainer(case, optimizer, unroll=1):
    """`epoch(params, state, x, y, order)` with order (steps, batch): the same and the last loss.

    Instead of the order, a random key may be given, from which the device draws it.
    """

    def loss_of(params, x, y):
        out = forward(params, x)
        if case.loss == "cross-entropy":
            if case.smoothing:
                labels = optax.smooth_labels(jax.nn.one_hot(y, out.shape[1]), case.smoothing)
                return optax.softmax_cross_entropy(out, labels).mean()
            return optax.softmax_cross_entropy_with_integer_labels(out, y).mean()
        return jnp.square(out - y).mean()

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def epoch(params, state, x, y, order):
        if jnp.issubdtype(order.dtype, jax.dtypes.prng_key):
            steps = len(x) // case.batch
            order = jax.random.permutation(order, len(x))[: steps * case.batch]
            order = order.reshape(steps, case.batch)

        def step(carry, rows):
            params, state = carry
            loss, gradient = jax.value_and_grad(loss_of)(params, x[rows], y[rows])
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), loss

        (params, state), losses = lax.scan(step, (params, state), order, unroll=unroll)
        return params, state, losses[-1]

    return epoch


def order_of(rng, rows, steps, batch):
    return rng.permutation(rows)[: steps * batch].reshape(steps, batch).astype(np.int32)


def check_device(args):
    if args.device == "gpu" and jax.default_backend() != "gpu":
        sys.exit(f"JAX sees no GPU here, but only {jax.devices()}")


def prepare(case, x, y, args):
    check_device(args)
    x, y = jax.device_put(x), jax.device_put(y.astype(np.int32) if y.ndim == 1 else y)
    steps = len(x) // case.batch
    rng, key = np.random.default_rng(args.seed), jax.random.key(args.seed)
    optimizer = optimizer_of(case, case.lr)
    epoch = trainer(case, optimizer, unroll=min(4, steps))
    params = init(case.widths, key)
    state = optimizer.init(params)

    def epochs(n):
        nonlocal params, state, key
        for _ in range(n):
            if args.device == "gpu":
                key, order = jax.random.split(key)
            else:
                order = order_of(rng, len(x), steps, case.batch)
            params, state, loss = epoch(params, state, x, y, order)
        return loss.block_until_ready()

    return epochs, steps


def cold(args):
    check_device(args)
    case = common.COLD
    x, y, held_x, held_y = common.split_mnist(args.data, args.seed)
    x, y = jax.device_put(x), jax.device_put(y.astype(np.int32))
    steps = len(x) // case.batch
    rng = np.random.default_rng(args.seed)
    optimizer = optimizer_of(case, optax.linear_schedule(case.lr, 0, common.COLD_EPOCHS * steps))
    train = trainer(case, optimizer)
    hits = jax.jit(lambda params: (forward(params, held_x).argmax(1) == held_y).mean())
    params = init(case.widths, jax.random.key(args.seed))
    state = optimizer.init(params)

    def epoch(_):
        nonlocal params, state
        order = order_of(rng, len(x), steps, case.batch)
        params, state, _loss = train(params, state, x, y, order)
        return float(hits(params))

    return common.until_accurate(epoch)


def product(n, args):
    a = jax.random.uniform(jax.random.key(0), (n, n))
    check_device(args)
    multiply = jax.jit(lambda a, b: jnp.dot(a, b, precision="highest"))

    def products(count):
        for _ in range(count):
            c = multiply(a, a)
        return c.block_until_ready()[0, 0]

    return products


if __name__ == "__main__":
    common.main("jax", jax.__version__, prepare, cold, product)
