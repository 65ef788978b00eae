"""Golden numbers from PyTorch for every loss, mixup and cycled momentum: training.json beside this script.

    /path/to/venv/bin/python tests/golden/make_training.py

Made with torch 2.x in float64. Inputs and first parameters are multiples of 1/64, so that float32 holds
them exactly. Each case is trained for ten steps on the full batch, in order. What mixup draws is what
wgrad draws under the seed 3 with α = 0.5, which a test holds against MIXING. `single_error` is what PyTorch
itself is wrong by in float32.
"""

import copy
import json
import random
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from make_golden import LOSSES, loss_value

INPUTS, HIDDEN, OUTPUTS, STEPS = 5, 6, 3, 10
DRAWN = [
    0.45090795, 0.00064855773, 0.99999934, 0.8709235, 0.72612894,
    0.02930514, 0.7804934, 0.6773371, 0.17464608, 0.51538336,
]  # fmt: skip
MIXING = torch.tensor(DRAWN, dtype=torch.float32).double().tolist()
PEAK, START, END, HIGH, LOW = 0.5, 4, 8, 0.9375, 0.8125


def mixed(x, m):
    """Rows 0 and 1, 2 and 3, …, each with a part m of the other; the last of an odd number as it is."""
    other = torch.arange(len(x)) ^ 1
    other[other == len(x)] = len(x) - 1
    return (1 - m) * x + m * x[other], other


def cross_entropy_of_both(net, x, t, m):
    """The loss of the paper's code: that of either class, by its part."""
    x, other = mixed(x, m)
    return (1 - m) * F.cross_entropy(net(x), t) + m * F.cross_entropy(net(x), t[other])


def squared_error_of_mixed(net, x, t, m):
    """Equation 1 of the paper: targets are mixed like inputs."""
    return F.mse_loss(net(mixed(x, m)[0]), mixed(t, m)[0])


def binary_cross_entropy_of_both(net, x, t, m):
    x, other = mixed(x, m)
    loss = F.binary_cross_entropy_with_logits
    return (1 - m) * loss(net(x), t) + m * loss(net(x), t[other])


MIXUPS = {
    "cross-entropy": cross_entropy_of_both,
    "binary-cross-entropy": binary_cross_entropy_of_both,
    "squared-error": squared_error_of_mixed,
}

# By the names of wgrad, with its defaults.
OPTIMIZERS = {
    "momentum": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9),
    "nesterov": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, nesterov=True),
    "rmsprop": lambda p, lr: torch.optim.RMSprop(p, lr=lr, momentum=0.5),
    "adam": lambda p, lr: torch.optim.Adam(p, lr=lr),
    "adamw": lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0),
    "nadam": lambda p, lr: torch.optim.NAdam(p, lr=lr),
    "amsgrad": lambda p, lr: torch.optim.Adam(p, lr=lr, amsgrad=True),
    "radam": lambda p, lr: torch.optim.RAdam(p, lr=lr),
}
RATES = {"momentum": 0.25, "nesterov": 0.25, "rmsprop": 0.03125}


# What makes predictions of the net's outputs, and the reduction that wgrad takes by default.
LINKS = {
    "cross-entropy": lambda y: torch.softmax(y, dim=1),
    "cross-entropy-probabilities": lambda y: torch.softmax(y, dim=1),
    "focal": lambda y: torch.softmax(y, dim=1),
    "hinge": lambda y: torch.softmax(y, dim=1),
    "kl-divergence": lambda y: torch.softmax(y, dim=1),
    "binary-cross-entropy": torch.sigmoid,
    "binary-focal": torch.sigmoid,
    "poisson": torch.exp,
    "gaussian-nll": lambda y: torch.cat([y[:, :2], (y[:, 2:] / 2).exp()], dim=1),
}
BY_ROW = ["cross-entropy", "cross-entropy-probabilities", "focal", "hinge", "kl-divergence", "cosine"]
CLASSES = ["cross-entropy", "cross-entropy-probabilities", "focal", "hinge"]
BITS = ["binary-cross-entropy", "binary-focal"]


def grid(rng, rows, cols):
    return [[rng.randint(-64, 64) / 64 for _ in range(cols)] for _ in range(rows)]


def targets_for(name, rng, rows, cols):
    """What a loss takes: classes, bits, shares, counts or numbers."""
    if name in CLASSES:
        return [rng.randrange(cols) for _ in range(rows)]
    if name in BITS:
        return [[float(rng.randrange(2)) for _ in range(cols)] for _ in range(rows)]
    if name == "kl-divergence":
        return [[part / 8 for part in rng.choice([(1, 2, 5), (4, 4, 0), (2, 3, 3)])] for _ in range(rows)]
    if name == "poisson":
        return [[float(rng.randint(0, 5)) for _ in range(cols)] for _ in range(rows)]
    return grid(rng, rows, cols)


def parameters(net):
    return {"layers": [{"weight": l.weight.tolist(), "bias": l.bias.tolist()} for l in (net[0], net[2])]}


def train(net, x, t, dtype, loss, make, schedule, link):
    """Ten steps in that precision: the losses, the parameters behind them, and the outputs."""
    net = copy.deepcopy(net).to(dtype)
    x, t = torch.tensor(x, dtype=dtype), torch.tensor(t)
    t = t.to(dtype) if t.is_floating_point() else t
    optimizer, losses = make(net.parameters()), []
    scheduler = schedule(optimizer)
    for step in range(STEPS):
        optimizer.zero_grad()
        value = loss(net, x, t, step)
        losses.append(value.item())
        value.backward()
        optimizer.step()
        scheduler.step() if scheduler and step + 1 < STEPS else None
    with torch.no_grad():
        return losses, parameters(net), link(net(x)).tolist()


def error(found, expected):
    """The largest error of a tensor, of its largest magnitude."""
    found, expected = torch.tensor(found, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)
    return ((found - expected).abs().max() / expected.abs().max()).item()


def case(names, rng, outputs, x, t, loss, make, schedule=lambda _: None):
    net = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, outputs)).double()
    with torch.no_grad():
        for p in net.parameters():
            values = [rng.randint(-40, 40) / 64 for _ in range(p.numel())]
            p.copy_(torch.tensor(values).double().reshape(p.shape))
    link = LINKS.get(names.get("loss"), lambda y: y)
    losses, final, predictions = train(net, x, t, torch.float64, loss, make, schedule, link)
    single = train(net, x, t, torch.float32, loss, make, schedule, link)
    pairs = [(single[0], losses), (single[2], predictions)]
    for a, b in zip(single[1]["layers"], final["layers"]):
        pairs += [(a["weight"], b["weight"]), (a["bias"], b["bias"])]
    return {**names, "inputs": x, "targets": t, "initial": parameters(net), "losses": losses, "final": final,
            "outputs": predictions, "single_error": max(error(found, expected) for found, expected in pairs)}


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.25)


def loss_case(rng, name):
    reduction = "mean_batch" if name in BY_ROW else "mean"
    outputs = 4 if name == "gaussian-nll" else OUTPUTS

    def loss(net, x, t, step):
        y = net(x)
        if name == "cross-entropy-probabilities":
            y = torch.softmax(y, dim=1)
        if name in CLASSES:
            t = F.one_hot(t, outputs).to(y.dtype)
        return loss_value(name.replace("-", "_"), reduction, y, t)

    t = targets_for(name, rng, 9, 2 if name == "gaussian-nll" else OUTPUTS)
    return case({"loss": name}, rng, outputs, grid(rng, 9, INPUTS), t, loss, sgd)


def mixup_case(rng, rows, name):
    loss = lambda net, x, t, step: MIXUPS[name](net, x, t, MIXING[step])
    t = targets_for(name, rng, rows, OUTPUTS)
    return case({"loss": name}, rng, OUTPUTS, grid(rng, rows, INPUTS), t, loss, sgd)


def cycle_case(rng, name):
    lr = RATES.get(name, 0.0625)

    def schedule(optimizer):
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=lr, total_steps=STEPS, pct_start=PEAK, div_factor=START, final_div_factor=END,
            base_momentum=LOW, max_momentum=HIGH,
        )  # fmt: skip

    loss = lambda net, x, t, step: F.mse_loss(net(x), t)
    make = lambda p: OPTIMIZERS[name](p, lr)
    x, t = grid(rng, 9, INPUTS), grid(rng, 9, OUTPUTS)
    return case({"optimizer": name, "lr": lr}, rng, OUTPUTS, x, t, loss, make, schedule)


rng = random.Random(7)
result = {
    "losses": [loss_case(rng, name.replace("_", "-")) for name in LOSSES if not name.endswith("(0.5)")],
    "mixing": MIXING,
    "mixups": [mixup_case(rng, rows, name) for name in MIXUPS for rows in (8, 11)],
    "schedule": f"one-cycle({PEAK},{START},{END})",
    "cycle": f"{HIGH},{LOW}",
    "cycles": [cycle_case(rng, name) for name in OPTIMIZERS],
}
path = Path(__file__).resolve().parent / "training.json"
path.write_text(json.dumps(result) + "\n")
