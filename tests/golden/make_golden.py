"""Golden numbers from PyTorch for wgrad's tests.

Writes activations.json, losses.json, optimizers.json and nets.json into the
folder that holds this script. Rerun it with

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0
    venv/bin/python tests/golden/make_golden.py

Made with Python 3.11 and torch 2.15.0, on the CPU. All arithmetic is float64.
Every input (weights, data, targets) is a multiple of 1/64 or another exact
binary fraction, so float32 code starts from the same numbers. Inputs come from
Python's own `random` with fixed seeds, so a rerun gives the same files; another
version of torch may round the last digit differently.

Matrices are lists of rows: a batch is (rows, columns), a weight (out, in).
Every derivative is checked here against central differences before it is
written.
"""

import json
import math
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

FOLDER = Path(__file__).resolve().parent
GRID = 64
VERSION = torch.__version__.split("+")[0]

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


# Inputs that float32 holds exactly.


def matrix(rng, rows, columns, low, high):
    """(rows, columns) multiples of 1/64 in [low, high]."""
    return torch.tensor(
        [[rng.randint(round(low * GRID), round(high * GRID)) / GRID for _ in range(columns)] for _ in range(rows)]
    )


def one_hot(labels, classes):
    """(rows, classes) with a single 1 in each row."""
    return F.one_hot(torch.tensor(labels), classes).double()


def distributions(rng, rows, columns):
    """(rows, columns) positive multiples of 1/64, each row summing to exactly 1."""
    result = []
    for _ in range(rows):
        cuts = [0, *sorted(rng.sample(range(1, GRID), columns - 1)), GRID]
        result.append([(b - a) / GRID for a, b in pairwise(cuts)])
    return torch.tensor(result)


def assert_float32_exact(tensor):
    assert torch.equal(tensor, tensor.float().double()), "an input that float32 cannot hold"


def assert_gradient(function, tensor, gradient, step=1e-5, tolerance=1e-6):
    """Central differences of the scalar `function` agree with `gradient`."""
    with torch.no_grad():
        flat = tensor.view(-1)
        for i, expected in enumerate(gradient.reshape(-1).tolist()):
            kept = flat[i].item()
            flat[i] = kept + step
            above = function().item()
            flat[i] = kept - step
            below = function().item()
            flat[i] = kept
            numerical = (above - below) / (2 * step)
            assert abs(numerical - expected) <= tolerance * max(1, abs(expected)), (numerical, expected)


# Activations.

ACTIVATIONS = {
    "identity": lambda z: z * 1,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "relu6": F.relu6,
    "leaky_relu": lambda z: F.leaky_relu(z, negative_slope=0.01),
    "elu": lambda z: F.elu(z, alpha=1.0),
    "selu": F.selu,
    "gelu": lambda z: F.gelu(z, approximate="none"),
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "mish": F.mish,
    # Not F.hardsigmoid and F.hardswish: their float64 backward multiplies by a
    # float32 1/6, which is wrong in the ninth digit.
    "hard_sigmoid": lambda z: F.relu6(z + 3) / 6,
    "hard_swish": lambda z: z * F.relu6(z + 3) / 6,
    "sine": torch.sin,
    "gaussian": lambda z: torch.exp(-z * z),
}

# Where a derivative jumps: golden points keep away from these.
KINKS = {
    "relu": [0],
    "relu6": [0, 6],
    "leaky_relu": [0],
    "selu": [0],
    "hard_sigmoid": [-3, 3],
    "hard_swish": [-3, 3],
}


def activation_points():
    """41 points in [-12, 12]: zero, and 20 magnitudes with both signs."""
    magnitudes = [
        2**-20, 2**-10, 1 / 64, 0.125, 0.25, 0.5, 0.75, 1, 1.25, 1.5,
        2, 2.5, 2.984375, 3.015625, 4, 5, 5.984375, 6.015625, 9, 12,
    ]  # fmt: skip
    return [-m for m in reversed(magnitudes)] + [0.0] + magnitudes


def activations():
    cases = []
    z = torch.tensor(activation_points())
    torch.testing.assert_close(ACTIVATIONS["hard_sigmoid"](z), F.hardsigmoid(z), rtol=0, atol=1e-7)
    torch.testing.assert_close(ACTIVATIONS["hard_swish"](z), F.hardswish(z), rtol=0, atol=1e-6)
    for name, function in ACTIVATIONS.items():
        z = torch.tensor([p for p in activation_points() if p not in KINKS.get(name, [])], requires_grad=True)
        assert_float32_exact(z.detach())
        a = function(z)
        (derivative,) = torch.autograd.grad(a.sum(), z)
        probe = z.detach().clone()
        # Steps below the smallest point, so that no difference straddles a kink.
        assert_gradient(lambda: function(probe).sum(), probe, derivative, step=2**-21, tolerance=1e-6)
        cases.append({"name": name, "z": z, "a": a, "derivative": derivative})
    return {"torch": VERSION, "cases": cases}


# Losses. Each takes (output, targets) and returns the sum over rows and outputs.


def focal(gamma):
    def loss(z, t):
        return -(t * (1 - torch.softmax(z, dim=1)) ** gamma * torch.log_softmax(z, dim=1)).sum()

    return loss


def binary_focal(gamma):
    def loss(z, t):
        p = torch.sigmoid(z)
        # Not F.softplus, which jumps by 2e-9 at 20.
        return -(t * (1 - p) ** gamma * F.logsigmoid(z) + (1 - t) * p**gamma * F.logsigmoid(-z)).sum()

    return loss


def hinge_margins(y, t):
    """Crammer and Singer: 1 + the largest other output - that of the class, for each row."""
    if y.shape[1] == 1:
        return (1 - (2 * t - 1) * y)[:, 0]
    true = F.one_hot(t.argmax(dim=1), t.shape[1]).bool()
    others = y.masked_fill(true, -math.inf).amax(dim=1)
    return 1 + others - (y * true).sum(dim=1)


def gaussian_nll(y, t, reduction="sum"):
    mean, log_variance = y.chunk(2, dim=1)
    return F.gaussian_nll_loss(mean, t, log_variance.exp(), reduction=reduction)


LOSSES = {
    "squared_error": lambda y, t: F.mse_loss(y, t, reduction="sum"),
    "absolute_error": lambda y, t: F.l1_loss(y, t, reduction="sum"),
    "huber": lambda y, t: F.huber_loss(y, t, reduction="sum", delta=1.0),
    "log_cosh": lambda y, t: (torch.logaddexp(y - t, t - y) - math.log(2)).sum(),
    "cross_entropy": lambda z, t: F.cross_entropy(z, t, reduction="sum"),
    "cross_entropy_probabilities": lambda y, t: -(t * torch.log(y)).sum(),
    "binary_cross_entropy": lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="sum"),
    "poisson": lambda z, t: F.poisson_nll_loss(z, t, log_input=True, full=False, reduction="sum"),
    "focal": focal(2),
    "focal(0.5)": focal(0.5),
    "binary_focal": binary_focal(2),
    "binary_focal(0.5)": binary_focal(0.5),
    "quantile(0.75)": lambda y, t: torch.maximum(0.75 * (t - y), -0.25 * (t - y)).sum(),
    "hinge": lambda y, t: F.relu(hinge_margins(y, t)).sum(),
    "kl_divergence": lambda z, t: F.kl_div(torch.log_softmax(z, dim=1), t, reduction="sum"),
    "cosine": lambda y, t: (1 - F.cosine_similarity(y, t, dim=1)).sum(),
    "gaussian_nll": gaussian_nll,
}

# torch's own reduction="mean", and which of our reductions it must equal.
TORCH_MEANS = {
    "squared_error": ("mean", F.mse_loss),
    "absolute_error": ("mean", F.l1_loss),
    "huber": ("mean", F.huber_loss),
    "cross_entropy": ("mean_batch", F.cross_entropy),
    "binary_cross_entropy": ("mean", F.binary_cross_entropy_with_logits),
    "poisson": ("mean", lambda z, t: F.poisson_nll_loss(z, t, log_input=True, full=False)),
    "kl_divergence": (
        "mean_batch",
        lambda z, t: F.kl_div(torch.log_softmax(z, dim=1), t, reduction="batchmean"),
    ),
    "gaussian_nll": ("mean", lambda y, t: gaussian_nll(y, t, "mean")),
}

REDUCTIONS = {
    "total": lambda rows, outputs: 1,
    "mean_batch": lambda rows, outputs: rows,
    "mean": lambda rows, outputs: rows * outputs,
}


def loss_value(loss, reduction, output, targets):
    return LOSSES[loss](output, targets) / REDUCTIONS[reduction](*targets.shape)


def assert_clear_of_loss_kinks(loss, outputs, targets):
    for kink in {"absolute_error": [0], "huber": [1], "quantile(0.75)": [0]}.get(loss, []):
        residual = (outputs - targets).abs()
        assert (residual - kink).abs().min() > 1e-3, f"{loss} too near its kink: choose another seed"
    if loss == "hinge":
        assert hinge_margins(outputs, targets).abs().min() > 1e-3, "hinge too near its kink: choose another seed"


def smoothed(loss, targets, epsilon):
    classes = 2 if loss.startswith("binary") else targets.shape[1]
    return targets * (1 - epsilon) + epsilon / classes


def loss_case(loss, case, output, targets, smoothing=0.0):
    assert_float32_exact(output)
    assert_float32_exact(targets)
    assert_clear_of_loss_kinks(loss, output, targets)
    given, targets = targets, smoothed(loss, targets, smoothing)
    if smoothing and loss == "cross_entropy":
        torch.testing.assert_close(
            F.cross_entropy(output, given.argmax(dim=1), label_smoothing=smoothing),
            loss_value(loss, "mean_batch", output, targets),
            rtol=1e-14,
            atol=0,
        )
    reductions = []
    for reduction in REDUCTIONS:
        y = output.clone().requires_grad_()
        value = loss_value(loss, reduction, y, targets)
        (gradient,) = torch.autograd.grad(value, y)
        probe = output.clone()
        assert_gradient(lambda: loss_value(loss, reduction, probe, targets), probe, gradient)
        if loss in TORCH_MEANS and TORCH_MEANS[loss][0] == reduction:
            torch.testing.assert_close(TORCH_MEANS[loss][1](output, targets), value, rtol=1e-14, atol=0)
        reductions.append({"reduction": reduction, "value": value, "gradient": gradient})
    return {
        "loss": loss,
        "case": case,
        "smoothing": smoothing,
        "output": output,
        "targets": given,
        "reductions": reductions,
    }


def losses():
    rng = random.Random(1)
    rows, columns = 5, 3
    cases = []

    output = matrix(rng, rows, columns, -3, 3)
    targets = matrix(rng, rows, columns, -3, 3)
    assert 3 <= ((output - targets).abs() < 1).sum() <= 12, "both branches of Huber"
    for loss in ("squared_error", "absolute_error", "huber", "log_cosh"):
        cases.append(loss_case(loss, "ordinary", output, targets))
    far = output * 16
    for loss in ("huber", "log_cosh"):
        cases.append(loss_case(loss, "far", far, targets))

    logits = matrix(rng, rows, columns, -4, 4)
    labels = one_hot([2, 0, 1, 1, 0], columns)
    soft = distributions(rng, rows, columns)
    cases.append(loss_case("cross_entropy", "one_hot", logits, labels))
    cases.append(loss_case("cross_entropy", "soft", logits, soft))
    cases.append(loss_case("cross_entropy", "large_logits", logits * 64, labels))

    probabilities = distributions(rng, rows, columns)
    arbitrary = matrix(rng, rows, columns, 1 / 64, 1)
    arbitrary[0, 0], arbitrary[1, 1] = 1.0, 2**-7
    cases.append(loss_case("cross_entropy_probabilities", "one_hot", probabilities, labels))
    cases.append(loss_case("cross_entropy_probabilities", "soft", probabilities, soft))
    cases.append(loss_case("cross_entropy_probabilities", "arbitrary", arbitrary, soft))

    bits = (matrix(rng, rows, columns, -1, 1) > 0).double()
    fractions = matrix(rng, rows, columns, 0, 1)
    cases.append(loss_case("binary_cross_entropy", "bits", logits, bits))
    cases.append(loss_case("binary_cross_entropy", "fractions", logits, fractions))
    cases.append(loss_case("binary_cross_entropy", "large_logits", logits * 64, bits))

    counts = torch.tensor([[float(rng.randint(0, 9)) for _ in range(columns)] for _ in range(rows)])
    cases.append(loss_case("poisson", "counts", logits, counts))

    for loss in ("focal", "focal(0.5)"):
        cases.append(loss_case(loss, "one_hot", logits, labels))
        cases.append(loss_case(loss, "soft", logits, soft))
    cases.append(loss_case("focal", "large_logits", logits * 64, labels))
    for loss in ("binary_focal", "binary_focal(0.5)"):
        cases.append(loss_case(loss, "bits", logits, bits))
        cases.append(loss_case(loss, "fractions", logits, fractions))
    cases.append(loss_case("binary_focal", "large_logits", logits * 64, bits))
    cases.append(loss_case("quantile(0.75)", "ordinary", output, targets))
    cases.append(loss_case("hinge", "classes", logits, labels))
    bit = one_hot([1, 0, 1, 0, 0], 2)[:, 1:]
    cases.append(loss_case("hinge", "one_output", matrix(rng, rows, 1, -2, 2), bit))
    cases.append(loss_case("kl_divergence", "one_hot", logits, labels))
    cases.append(loss_case("kl_divergence", "soft", logits, soft))
    cases.append(loss_case("cosine", "ordinary", output, targets))
    both = torch.cat([output, matrix(rng, rows, columns, -2, 2)], dim=1)
    cases.append(loss_case("gaussian_nll", "ordinary", both, targets))

    for loss in ("cross_entropy", "cross_entropy_probabilities", "focal"):
        given = probabilities if loss.endswith("probabilities") else logits
        cases.append(loss_case(loss, "smoothed", given, labels, smoothing=0.125))
    for loss in ("binary_cross_entropy", "binary_focal"):
        cases.append(loss_case(loss, "smoothed", logits, bits, smoothing=0.125))

    return {"torch": VERSION, "cases": cases}


# Nets. A layer is (outputs, activations, bias convention): one activation for
# the whole layer, or one for each of its units.


def apply_activations(names, z):
    if names == ["softmax"]:
        return torch.softmax(z, dim=1)
    if len(names) == 1:
        return ACTIVATIONS[names[0]](z)
    assert len(names) == z.shape[1]
    return torch.stack([ACTIVATIONS[name](z[:, unit]) for unit, name in enumerate(names)], dim=1)


def assert_clear_of_kinks(names, z):
    for unit in range(z.shape[1]):
        name = names[unit if len(names) > 1 else 0]
        for kink in KINKS.get(name, []):
            assert (z[:, unit] - kink).abs().min() > 1e-3, f"{name} too near its kink at {kink}"


def forward(layers, parameters, inputs):
    """A_L = f(A_{L-1} W^T +- b), batch first."""
    a = inputs
    for (_, names, bias), (weight, b) in zip(layers, parameters):
        z = a @ weight.T
        if bias == "add":
            z = z + b
        elif bias == "subtract":
            z = z - b
        assert_clear_of_kinks(names, z)
        a = apply_activations(names, z)
    return a


def random_parameters(rng, inputs, layers):
    parameters = []
    for outputs, _, bias in layers:
        weight = matrix(rng, outputs, inputs, -1, 1)
        b = None if bias == "none" else matrix(rng, 1, outputs, -0.5, 0.5)[0]
        parameters.append((weight, b))
        inputs = outputs
    return parameters


def tensors_of(parameters):
    return [tensor for layer in parameters for tensor in layer if tensor is not None]


def parameter_record(parameters):
    """[{weight: (out, in), bias: (out) or null}], a copy."""
    return [
        {"weight": weight.detach().clone(), "bias": None if b is None else b.detach().clone()}
        for weight, b in parameters
    ]


def gradient_record(parameters):
    return [{"weight": weight.grad.clone(), "bias": None if b is None else b.grad.clone()} for weight, b in parameters]


def net_case(name, seed, inputs, layers, loss, reduction, make_targets):
    rng = random.Random(seed)
    rows = 6
    parameters = random_parameters(rng, inputs, layers)
    x = matrix(rng, rows, inputs, -2, 2)
    targets = make_targets(rng, rows, layers[-1][0] // (2 if loss == "gaussian_nll" else 1))
    for tensor in [*tensors_of(parameters), x, targets]:
        assert_float32_exact(tensor)

    assert_clear_of_loss_kinks(loss, forward(layers, parameters, x), targets)

    def value():
        return loss_value(loss, reduction, forward(layers, parameters, x), targets)

    for tensor in tensors_of(parameters):
        tensor.requires_grad_()
    result = value()
    result.backward()
    for tensor in tensors_of(parameters):
        assert_gradient(value, tensor, tensor.grad)
        assert (tensor.grad != 0).all(), "a dead unit proves nothing: choose another seed"

    return {
        "name": name,
        "layers": [{"outputs": n, "activations": names, "bias": bias} for n, names, bias in layers],
        "loss": loss,
        "reduction": reduction,
        "inputs": x,
        "targets": targets,
        "parameters": parameter_record(parameters),
        "outputs": forward(layers, parameters, x),
        "value": result,
        "gradients": gradient_record(parameters),
    }


def nets():
    def numbers(rng, rows, columns):
        return matrix(rng, rows, columns, -1, 1)

    def labels(rng, rows, columns):
        return one_hot([rng.randrange(columns) for _ in range(rows)], columns)

    def bits(rng, rows, columns):
        return torch.tensor([[float(rng.randrange(2)) for _ in range(columns)] for _ in range(rows)])

    def counts(rng, rows, columns):
        return torch.tensor([[float(rng.randint(0, 5)) for _ in range(columns)] for _ in range(rows)])

    cases = [
        net_case(
            "activation_per_layer", 10, 5,
            [(6, ["gelu"], "add"), (4, ["softsign"], "add"), (3, ["identity"], "add")],
            "squared_error", "mean", numbers,
        ),
        net_case(
            "softmax_squared_error", 11, 4,
            [(5, ["sigmoid"], "add"), (3, ["softmax"], "add")],
            "squared_error", "mean_batch", labels,
        ),
        net_case(
            "softmax_cross_entropy_probabilities", 12, 4,
            [(6, ["silu"], "add"), (4, ["softmax"], "add")],
            "cross_entropy_probabilities", "total", distributions,
        ),
        net_case(
            "three_hidden_layers", 13, 6,
            [(7, ["tanh"], "add"), (5, ["elu"], "add"), (4, ["mish"], "add"), (3, ["identity"], "add")],
            "cross_entropy", "mean_batch", labels,
        ),
        net_case(
            "no_bias", 14, 3,
            [(4, ["sine"], "none"), (5, ["gaussian"], "none"), (2, ["tanh"], "none")],
            "log_cosh", "total", numbers,
        ),
        net_case(
            "subtracted_bias", 15, 4,
            [(5, ["softplus"], "subtract"), (3, ["selu"], "subtract"), (2, ["sigmoid"], "subtract")],
            "huber", "mean", numbers,
        ),
        net_case(
            "binary", 26, 3,
            [(6, ["relu"], "add"), (4, ["hard_swish"], "add"), (1, ["identity"], "add")],
            "binary_cross_entropy", "mean", bits,
        ),
        net_case(
            "poisson", 17, 4,
            [(5, ["gelu_tanh"], "add"), (2, ["identity"], "add")],
            "poisson", "mean", counts,
        ),
        net_case(
            "activation_per_unit", 38, 4,
            [
                (6, ["leaky_relu", "tanh", "hard_sigmoid", "gaussian", "relu6", "gelu"], "add"),
                (3, ["identity", "sine", "sigmoid"], "subtract"),
            ],
            "absolute_error", "mean_batch", numbers,
        ),
        net_case(
            "focal", 40, 4, [(5, ["tanh"], "add"), (3, ["identity"], "add")], "focal", "mean_batch", labels,
        ),
        net_case(
            "binary_focal", 41, 4, [(5, ["tanh"], "add"), (2, ["identity"], "add")], "binary_focal", "mean", bits,
        ),
        net_case(
            "quantile", 42, 4, [(5, ["silu"], "add"), (2, ["identity"], "add")], "quantile(0.75)", "mean", numbers,
        ),
        net_case(
            "hinge", 48, 4, [(5, ["tanh"], "add"), (3, ["identity"], "add")], "hinge", "mean_batch", labels,
        ),
        net_case(
            "kl_divergence", 44, 4, [(5, ["gelu"], "add"), (3, ["identity"], "add")],
            "kl_divergence", "mean_batch", distributions,
        ),
        net_case(
            "cosine", 45, 4, [(5, ["tanh"], "add"), (3, ["identity"], "add")], "cosine", "total", numbers,
        ),
        net_case(
            "gaussian_nll", 46, 4, [(5, ["tanh"], "add"), (4, ["identity"], "add")], "gaussian_nll", "mean", numbers,
        ),
    ]  # fmt: skip

    used = {name for case in cases for layer in case["layers"] for name in layer["activations"]}
    assert used == {*ACTIVATIONS, "softmax"}, "every activation appears in some net"
    used = {case["loss"].split("(")[0] for case in cases}
    assert used == {loss.split("(")[0] for loss in LOSSES}, "every loss appears in some net"
    assert {case["reduction"] for case in cases} == {*REDUCTIONS}
    return {"torch": VERSION, "cases": cases}


# Weights of rows: class weights as PyTorch has them, weights of single rows, and both.


def weights_case(name, seed, class_weights, sample_weights):
    """The weighted mean of the cross-entropy of eight rows, and the gradients of a small net."""
    rng = random.Random(seed)
    labels = [0, 2, 0, 1, 0, 2, 1, 0]
    layers = [(5, ["tanh"], "add"), (3, ["identity"], "add")]
    parameters = random_parameters(rng, 4, layers)
    x = matrix(rng, len(labels), 4, -2, 2)
    of_class, of_row = torch.tensor(class_weights), torch.tensor(sample_weights)
    weights = of_class[labels] * of_row
    # Divided by their mean they must be exact in float32.
    assert_float32_exact(weights / weights.mean())
    target = torch.tensor(labels)

    def value():
        each = F.cross_entropy(forward(layers, parameters, x), target, reduction="none")
        return (weights * each).sum() / weights.sum()

    if (of_row == 1).all():
        torch.testing.assert_close(
            value(), F.cross_entropy(forward(layers, parameters, x), target, weight=of_class), rtol=1e-14, atol=0
        )
    for tensor in tensors_of(parameters):
        tensor.requires_grad_()
    result = value()
    result.backward()
    for tensor in tensors_of(parameters):
        assert_gradient(value, tensor, tensor.grad)
    return {
        "name": name,
        "layers": [{"outputs": n, "activations": names, "bias": bias} for n, names, bias in layers],
        "inputs": x,
        "labels": labels,
        "class_weights": of_class,
        "sample_weights": of_row,
        "parameters": parameter_record(parameters),
        "value": result,
        "gradients": gradient_record(parameters),
    }


def weights():
    ones = [1.0] * 8
    some = [1.0, 0.5, 3.0, 0.25, 2.0, 1.5, 0.75, 7.0]
    return {
        "torch": VERSION,
        "cases": [
            weights_case("classes", 30, [1.0, 4.0, 2.0], ones),
            weights_case("rows", 31, [1.0] * 3, some),
            weights_case("classes_and_rows", 32, [1.0, 9.0, 5.0], [0.5, 1.0, 2.5, 0.5, 1.0, 0.5, 0.5, 11.5]),
        ],
    }


# Optimizers: ten full-batch steps of one small classifier.

SGD = {"lr": 0.1, "weight_decay": 0.0}
MOMENTUM = {**SGD, "momentum": 0.9}
ADAM = {"lr": 0.01, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
L2 = {"weight_decay": 0.01}
# Exact in float32: what follows from 1 − α, and from ρ∞, is not divided out again.
RMSPROP = {"lr": 1 / 64, "weight_decay": 0.0, "beta2": 3 / 4, "epsilon": 1e-8}
RADAM = {**ADAM, "beta2": 1023 / 1024}
LION = {"lr": 0.01, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.99}
LAMB = {**ADAM, "lr": 1 / 64, "epsilon": 2.0**-20}
MUON = {"lr": 1 / 64, "weight_decay": 0.0, "momentum": 15 / 16}
WEIGHTS_ONLY = {"decay_all": False}

OPTIMIZERS = {
    "sgd": ("sgd", SGD),
    "momentum": ("momentum", MOMENTUM),
    "nesterov": ("nesterov", MOMENTUM),
    "adam": ("adam", ADAM),
    "adamw": ("adamw", {**ADAM, "weight_decay": 0.01}),
    "sgd_l2": ("sgd", {**SGD, **L2}),
    "momentum_l2": ("momentum", {**MOMENTUM, **L2}),
    "adam_l2": ("adam", {**ADAM, **L2}),
    "adagrad": ("adagrad", {"lr": 0.1, "weight_decay": 0.0, "epsilon": 1e-10}),
    "adagrad_l2": ("adagrad", {"lr": 0.1, "epsilon": 1e-10, **L2}),
    "rmsprop": ("rmsprop", RMSPROP),
    "rmsprop_momentum_l2": ("rmsprop", {**RMSPROP, **L2, "momentum": 7 / 8}),
    "nadam": ("nadam", ADAM),
    "nadam_l2": ("nadam", {**ADAM, **L2}),
    "amsgrad": ("amsgrad", {**ADAM, "beta2": 0.5}),
    "amsgrad_l2": ("amsgrad", {**ADAM, **L2}),
    # Steps 1 to 5 are not rectified, and those behind are.
    "radam": ("radam", RADAM),
    "radam_l2": ("radam", {**RADAM, **L2}),
    "lion": ("lion", LION),
    "lion_decay": ("lion", {**LION, "weight_decay": 0.1}),
    "rprop": ("rprop", {"lr": 1 / 64, "weight_decay": 0.0, "etas": (0.5, 1.25)}),
    # Weights are decayed and biases are not.
    "momentum_l2_weights": ("momentum", {**MOMENTUM, **L2, **WEIGHTS_ONLY}),
    "adamw_weights": ("adamw", {**ADAM, "weight_decay": 0.1, **WEIGHTS_ONLY}),
    "lamb": ("lamb", LAMB),
    "lamb_decay_weights": ("lamb", {**LAMB, "weight_decay": 0.1, **WEIGHTS_ONLY}),
    "muon": ("muon", MUON),
    "muon_decay_weights": ("muon", {**MUON, "weight_decay": 0.1, **WEIGHTS_ONLY}),
    "lbfgs": ("lbfgs", {"lr": 1.0, "weight_decay": 1 / 8}),
    # What is done to the gradient before.
    "sgd_l1": ("sgd", {**SGD, "l1": 1 / 64}),
    "sgd_clip_value": ("sgd", {**SGD, "clip_value": 1 / 16}),
    "sgd_clip_norm": ("sgd", {**SGD, "clip_norm": 1 / 4}),
    "sgd_clip_global_norm": ("sgd", {**SGD, "clip_global_norm": 1 / 4}),
    "adam_all_edits": (
        "adam",
        {**ADAM, **L2, "l1": 1 / 64, "clip_value": 1 / 8, "clip_norm": 1 / 4, "clip_global_norm": 5 / 16},
    ),
}


class Reference:
    """An optimizer of a paper in numpy, with the interface of PyTorch's. A parameter is given as
    (tensor, weight decay); `update` changes it in place."""

    def __init__(self, groups, hyper):
        self.hyper, self.t = hyper, 0
        self.parameters = [(p, g["weight_decay"], {}) for g in groups for p in g["params"]]

    def zero_grad(self):
        for p, _, _ in self.parameters:
            p.grad = None

    def step(self):
        self.t += 1
        for p, decay, state in self.parameters:
            self.update(p.detach().numpy(), p.grad.numpy(), decay, state)


def moving_average(state, name, beta, value):
    state[name] = beta * state.get(name, np.zeros_like(value)) + (1 - beta) * value
    return state[name]


def adam_direction(g, state, t, beta1, beta2, epsilon):
    m = moving_average(state, "m", beta1, g) / (1 - beta1**t)
    v = moving_average(state, "v", beta2, g * g) / (1 - beta2**t)
    return m / (np.sqrt(v) + epsilon)


class Lion(Reference):
    """Algorithm 2 of Chen et al. 2023, "Symbolic discovery of optimization algorithms"."""

    def update(self, w, g, decay, state):
        m = state.get("m", np.zeros_like(g))
        c = self.hyper["beta1"] * m + (1 - self.hyper["beta1"]) * g
        w -= self.hyper["lr"] * (np.sign(c) + decay * w)
        moving_average(state, "m", self.hyper["beta2"], g)


class Lamb(Reference):
    """Algorithm 2 of You et al. 2020, "Large batch optimization for deep learning", with the
    identity for phi, and a ratio of 1 where a norm is 0, as in the authors' code."""

    def update(self, w, g, decay, state):
        h = self.hyper
        u = adam_direction(g, state, self.t, h["beta1"], h["beta2"], h["epsilon"]) + decay * w
        norms = np.linalg.norm(w), np.linalg.norm(u)
        w -= h["lr"] * (norms[0] / norms[1] if min(norms) > 0 else 1.0) * u


class Muon(Reference):
    """Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", as in the
    authors' code but for its bfloat16: the first layer's weights by Muon, all else by AdamW, whose
    learning rate is 0.0003 where Muon's is 0.02."""

    def update(self, w, g, decay, state):
        h = self.hyper
        if self.parameters[0][0].shape != w.shape:
            lr = h["lr"] * 0.015
            w -= lr * decay * w
            w -= lr * adam_direction(g, state, self.t, 0.9, 0.95, 1e-10)
            return
        m = moving_average(state, "m", h["momentum"], g)
        x = (1 - h["momentum"]) * g + h["momentum"] * m
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        x = x / (np.linalg.norm(x) + 1e-7)
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
        x = x.T if tall else x
        w -= h["lr"] * decay * w
        w -= h["lr"] * max(1, w.shape[0] / w.shape[1]) ** 0.5 * x


def make_optimizer(kind, hyper, parameters):
    """The optimizer of the (weight, bias) pairs of all layers."""
    decay = hyper["weight_decay"]
    groups = [
        {"params": [w for w, _ in parameters], "weight_decay": decay},
        {"params": [b for _, b in parameters], "weight_decay": decay if hyper["decay_all"] else 0.0},
    ]
    common = {"lr": hyper["lr"], "foreach": False}
    if kind in ("sgd", "momentum", "nesterov"):
        return torch.optim.SGD(groups, momentum=hyper.get("momentum", 0.0), nesterov=kind == "nesterov", **common)
    if kind == "rprop":
        return torch.optim.Rprop([p for g in groups for p in g["params"]], etas=hyper["etas"], **common)
    if kind == "lbfgs":
        tensors = [p for g in groups for p in g["params"]]
        search = {"line_search_fn": "strong_wolfe", "max_iter": 1, "max_eval": 100, "history_size": 10}
        return torch.optim.LBFGS(tensors, lr=hyper["lr"], **search)
    if kind in ("lion", "lamb", "muon"):
        return {"lion": Lion, "lamb": Lamb, "muon": Muon}[kind](groups, hyper)
    common["eps"] = hyper["epsilon"]
    if kind == "adagrad":
        return torch.optim.Adagrad(groups, **common)
    if kind == "rmsprop":
        return torch.optim.RMSprop(groups, alpha=hyper["beta2"], momentum=hyper.get("momentum", 0.0), **common)
    if kind == "amsgrad":
        common["amsgrad"] = True
    adam = {"adamw": torch.optim.AdamW, "nadam": torch.optim.NAdam, "radam": torch.optim.RAdam}
    return adam.get(kind, torch.optim.Adam)(groups, betas=(hyper["beta1"], hyper["beta2"]), **common)


def edit_gradients(hyper, parameters):
    """Changes the gradients as the case says; whether each change that is asked for changed some."""
    tensors = tensors_of(parameters)
    changed = True

    def edit(change):
        nonlocal changed
        before = [t.grad.clone() for t in tensors]
        change()
        changed = changed and not all(torch.equal(a, t.grad) for a, t in zip(before, tensors))

    if hyper.get("l1"):
        edit(lambda: (hyper["l1"] * sum(w.abs().sum() for w, _ in parameters)).backward())
    if hyper.get("clip_value"):
        edit(lambda: torch.nn.utils.clip_grad_value_(tensors, hyper["clip_value"]))
    if hyper.get("clip_norm"):
        edit(lambda: [torch.nn.utils.clip_grad_norm_([t], hyper["clip_norm"]) for t in tensors])
    if hyper.get("clip_global_norm"):
        edit(lambda: torch.nn.utils.clip_grad_norm_(tensors, hyper["clip_global_norm"]))
    return changed


def optimizer_case(name, layers, initial, inputs, labels, steps):
    kind, hyper = OPTIMIZERS[name]
    hyper = {"decay_all": True, **hyper}
    parameters = [(w.clone().requires_grad_(), b.clone().requires_grad_()) for w, b in initial]
    optimizer = make_optimizer(kind, hyper, parameters)
    values = []
    for step in range(steps):
        optimizer.zero_grad()
        value = F.cross_entropy(forward(layers, parameters, inputs), labels)
        value.backward()
        values.append(value.item())
        if step == 0:
            first_gradients = gradient_record(parameters)
        changed = edit_gradients(hyper, parameters)
        assert step > 0 or changed, "an edit that changes nothing proves nothing"
        if kind == "lbfgs":
            looks = [0]

            def closure():
                looks[0] += 1
                optimizer.zero_grad()
                loss = F.cross_entropy(forward(layers, parameters, inputs), labels)
                loss = loss + hyper["weight_decay"] / 2 * sum((t * t).sum() for t in tensors_of(parameters))
                loss.backward()
                return loss

            optimizer.step(closure)
            # Which other points a line search tries is an author's choice: not here.
            assert looks[0] == 2, "the line search takes the first point that it tries"
        else:
            optimizer.step()
        if step == 0:
            after_1 = parameter_record(parameters)
    assert values[-1] < values[0]
    edits = ("l1", "clip_value", "clip_norm", "clip_global_norm")
    absent = {**dict.fromkeys(edits), "etas": None, "momentum": None, "beta1": None, "beta2": None, "epsilon": None}
    record = {
        "name": name,
        "optimizer": kind,
        **absent,
        **hyper,
        "losses": torch.tensor(values),
        "after_1": after_1,
        "after_10": parameter_record(parameters),
    }
    return record, first_gradients


def optimizers():
    rng = random.Random(20)
    layers = [(5, ["tanh"], "add"), (3, ["identity"], "add")]
    initial = random_parameters(rng, 4, layers)
    inputs = matrix(rng, 6, 4, -2, 2)
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    for tensor in [*tensors_of(initial), inputs]:
        assert_float32_exact(tensor)

    cases, gradients = zip(*(optimizer_case(name, layers, initial, inputs, labels, steps=10) for name in OPTIMIZERS))
    # The loss gradient, before any weight decay, is one and the same for all.
    for other in gradients[1:]:
        for one, two in zip(gradients[0], other):
            assert torch.equal(one["weight"], two["weight"]) and torch.equal(one["bias"], two["bias"])
    return {
        "torch": VERSION,
        "layers": [{"outputs": n, "activations": names, "bias": bias} for n, names, bias in layers],
        "loss": "cross_entropy",
        "reduction": "mean_batch",
        "inputs": inputs,
        "labels": labels,
        "initial": parameter_record(initial),
        "first_gradients": gradients[0],
        "cases": cases,
    }


# Schedules: the learning rate of each of 24 steps, six in an epoch, from a rate of 1.

STEPS = 24


def rates(make, losses=None):
    """What a scheduler of torch makes of a rate of 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimizer)
    found = []
    for step in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step() if losses is None else scheduler.step(losses[step])
    return torch.tensor(found)


def schedules():
    lr = torch.optim.lr_scheduler

    def after_warmup(steps, make):
        def both(optimizer):
            rise = lr.LinearLR(optimizer, start_factor=1 / (steps + 1), total_iters=steps)
            return lr.SequentialLR(optimizer, [rise, make(optimizer)], milestones=[steps])

        return both

    def cycle(optimizer, peak, start, end):
        return lr.OneCycleLR(
            optimizer, max_lr=1.0, total_steps=STEPS, pct_start=peak, div_factor=start,
            final_div_factor=end, cycle_momentum=False,
        )  # fmt: skip

    cases = [
        ("constant", "0", lambda o: lr.ConstantLR(o, factor=1.0)),
        ("step(5,0.5)", "0", lambda o: lr.StepLR(o, step_size=5, gamma=0.5)),
        ("step(2epochs,0.25)", "0", lambda o: lr.StepLR(o, step_size=12, gamma=0.25)),
        ("exponential(0.875,1)", "0", lambda o: lr.ExponentialLR(o, gamma=0.875)),
        ("exponential(0.015625)", "0", lambda o: lr.ExponentialLR(o, gamma=0.015625 ** (1 / STEPS))),
        ("linear", "0", lambda o: lr.LinearLR(o, start_factor=1.0, end_factor=0.0, total_iters=STEPS)),
        ("polynomial(2)", "0", lambda o: lr.PolynomialLR(o, total_iters=STEPS, power=2.0)),
        ("polynomial(0.5)", "0", lambda o: lr.PolynomialLR(o, total_iters=STEPS, power=0.5)),
        ("cosine", "0", lambda o: lr.CosineAnnealingLR(o, T_max=STEPS)),
        ("cosine-restarts(3,2)", "0", lambda o: lr.CosineAnnealingWarmRestarts(o, T_0=3, T_mult=2)),
        ("cosine-restarts(1epochs,1)", "0", lambda o: lr.CosineAnnealingWarmRestarts(o, T_0=6)),
        ("one-cycle(0.25,10,100)", "0", lambda o: cycle(o, 0.25, 10, 100)),
        ("one-cycle(0.5,4,8)", "0", lambda o: cycle(o, 0.5, 4, 8)),
        ("inverse-sqrt", "0", lambda o: lr.LambdaLR(o, lambda t: (1 + t) ** -0.5)),
        ("constant", "4", after_warmup(4, lambda o: lr.ConstantLR(o, factor=1.0))),
        ("cosine", "6", after_warmup(6, lambda o: lr.CosineAnnealingLR(o, T_max=STEPS - 6))),
        ("linear", "0.25", after_warmup(6, lambda o: lr.PolynomialLR(o, total_iters=STEPS - 6, power=1.0))),
        ("step(5,0.5)", "1epochs", after_warmup(6, lambda o: lr.StepLR(o, step_size=5, gamma=0.5))),
        ("inverse-sqrt", "6", after_warmup(6, lambda o: lr.LambdaLR(o, lambda t: (6 / (6 + t)) ** 0.5))),
    ]
    rng = random.Random(50)
    losses = [round(4 / (1 + i) + rng.random(), 3) for i in range(STEPS)]
    plateaus = [
        ("plateau(0.5,0)", lambda o: lr.ReduceLROnPlateau(o, factor=0.5, patience=0)),
        ("plateau(0.25,3)", lambda o: lr.ReduceLROnPlateau(o, factor=0.25, patience=3)),
    ]
    return {
        "torch": VERSION,
        "steps": STEPS,
        "epoch": 6,
        "cases": [{"schedule": s, "warmup": w, "rates": rates(make)} for s, w, make in cases],
        "losses": losses,
        "plateaus": [{"schedule": s, "rates": rates(make, losses)} for s, make in plateaus],
    }


# JSON with one vector per line.


def text(value, indent=0):
    """JSON in which a list of scalars takes one line and all else is indented.

    Floats print in Python's shortest form that reads back exactly (at most 17
    significant digits)."""
    if isinstance(value, torch.Tensor):
        value = value.tolist()
    if isinstance(value, float):
        assert math.isfinite(value)
    if isinstance(value, dict):
        items = [f"{json.dumps(key)}: {text(item, indent + 1)}" for key, item in value.items()]
    elif isinstance(value, (list, tuple)) and not all(isinstance(item, (int, float, str)) for item in value):
        items = [text(item, indent + 1) for item in value]
    else:
        return json.dumps(value)
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inner, outer = "\n" + " " * (indent + 1), "\n" + " " * indent
    return opening + inner + f",{inner}".join(items) + outer + closing


def main():
    for make in (activations, losses, optimizers, nets, weights, schedules):
        path = FOLDER / f"{make.__name__}.json"
        path.write_text(text(make()) + "\n")
        print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
