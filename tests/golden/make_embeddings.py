"""Golden numbers from PyTorch for nets with embeddings: embeddings.json beside this script.

    /path/to/venv/bin/python tests/golden/make_embeddings.py

Made with torch 2.x in float64. Every number that goes in is a multiple of 1/64, so that float32 holds it
exactly; indices repeat, and some values stand in no row. Each case is trained for ten steps on the full
batch; weight decay is for the weights of the layers only. `single_error` is what PyTorch itself is wrong
by in float32.
"""

import copy
import json
import random
from pathlib import Path

import torch
from torch import nn

ROWS, HIDDEN, OUTPUTS, STEPS, DECAY = 14, 6, 2, 10, 0.125
# Columns of numbers, then (values, dims) of each embedding.
SHAPES = [(3, [(5, 4)]), (0, [(7, 3), (4, 1)]), (2, [(9, 2), (1, 3), (6, 5)])]


class Net(nn.Module):
    def __init__(self, numbers, tables):
        super().__init__()
        self.numbers = numbers
        self.tables = nn.ModuleList(nn.Embedding(values, dims) for values, dims in tables)
        self.hidden = nn.Linear(numbers + sum(dims for _, dims in tables), HIDDEN)
        self.out = nn.Linear(HIDDEN, OUTPUTS)

    def forward(self, x):
        parts = [x[:, : self.numbers]]
        parts += [table(x[:, self.numbers + i].long()) for i, table in enumerate(self.tables)]
        return self.out(torch.tanh(self.hidden(torch.cat(parts, dim=1))))


def parameters(net):
    layers = [{"weight": l.weight.tolist(), "bias": l.bias.tolist()} for l in (net.hidden, net.out)]
    return {"tables": [t.weight.tolist() for t in net.tables], "layers": layers}


def optimizer(kind, net):
    weights = [net.hidden.weight, net.out.weight]
    others = [p for p in net.parameters() if not any(p is w for w in weights)]
    groups = [{"params": weights, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
    if kind == "sgd":
        return torch.optim.SGD(groups, lr=0.25)
    return torch.optim.AdamW(groups, lr=0.0625, betas=(0.9, 0.999), eps=1e-8)


def train(net, kind, x, t, dtype):
    """Ten steps in that precision: the losses, the parameters behind them, and the outputs."""
    net = copy.deepcopy(net).to(dtype)
    inputs, targets, losses = torch.tensor(x, dtype=dtype), torch.tensor(t, dtype=dtype), []
    steps = optimizer(kind, net)
    for _ in range(STEPS):
        steps.zero_grad()
        loss = nn.functional.mse_loss(net(inputs), targets)
        losses.append(loss.item())
        loss.backward()
        steps.step()
    with torch.no_grad():
        return losses, parameters(net), net(inputs).tolist()


def tensors(all):
    return all["tables"] + [part for layer in all["layers"] for part in (layer["weight"], layer["bias"])]


def error(found, expected):
    """The largest error of a tensor, of its largest magnitude."""
    found, expected = torch.tensor(found, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)
    return ((found - expected).abs().max() / expected.abs().max()).item()


def case(kind, shape, rng):
    numbers, tables = shape
    net = Net(numbers, tables).double()
    with torch.no_grad():
        for p in net.parameters():
            values = [rng.randint(-40, 40) / 64 for _ in range(p.numel())]
            p.copy_(torch.tensor(values).double().reshape(p.shape))
    grid = lambda cols: [rng.randint(-64, 64) / 64 for _ in range(cols)]
    x = [grid(numbers) + [rng.randrange(values) for values, _ in tables] for _ in range(ROWS)]
    t = [grid(OUTPUTS) for _ in range(ROWS)]
    losses, final, outputs = train(net, kind, x, t, torch.float64)
    single = train(net, kind, x, t, torch.float32)
    pairs = [(single[0], losses), (single[2], outputs), *zip(tensors(single[1]), tensors(final))]
    return {"optimizer": kind, "inputs": x, "targets": t, "initial": parameters(net), "losses": losses,
            "final": final, "outputs": outputs, "single_error": max(error(a, b) for a, b in pairs)}


rng = random.Random(6)
cases = [case(kind, shape, rng) for kind in ("sgd", "adamw") for shape in SHAPES]
path = Path(__file__).resolve().parent / "embeddings.json"
path.write_text(json.dumps({"steps": STEPS, "decay": DECAY, "cases": cases}) + "\n")
