"""Golden numbers from PyTorch for normalized and residual nets: layers.json beside this script.

    /path/to/venv/bin/python tests/golden/make_layers.py

Made with torch 2.x in float64. Every input is a multiple of 1/64, so that float32 holds it exactly.
Each case is trained for ten steps of SGD (η = 0.25) on the full batch; then the net predicts, with
batch normalization by its running averages. `single_error` is what PyTorch itself is wrong by in
float32.
"""

import copy
import json
import random
from pathlib import Path

import torch
from torch import nn

ROWS, INPUTS, HIDDEN, OUTPUTS, STEPS, LR = 12, 5, 6, 3, 10, 0.25
NORMS = {None: lambda: nn.Identity(), "batch": lambda: nn.BatchNorm1d(HIDDEN), "layer": lambda: nn.LayerNorm(HIDDEN)}


class Net(nn.Module):
    """`depth` hidden layers; with `skip`, each skip-th behind the first adds the one `skip` below."""

    def __init__(self, norm, depth, skip):
        super().__init__()
        self.skip = skip
        widths = [INPUTS] + [HIDDEN] * depth
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.norms = nn.ModuleList(NORMS[norm]() for _ in range(depth))
        self.out = nn.Linear(HIDDEN, OUTPUTS)

    def forward(self, x):
        outputs = [x]
        for l, (dense, norm) in enumerate(zip(self.dense, self.norms)):
            u = norm(dense(outputs[-1]))
            if self.skip and l > 0 and l % self.skip == 0:
                u = u + outputs[l + 1 - self.skip]
            outputs.append(torch.tanh(u))
        return self.out(outputs[-1])


def grid(rng, rows, cols, spread=64):
    return [[rng.randint(-spread, spread) / 64 for _ in range(cols)] for _ in range(rows)]


def layers(net):
    """Weights as wgrad has them, layer by layer."""
    result = []
    for l, dense in enumerate([*net.dense, net.out]):
        layer = {"weight": dense.weight.tolist(), "bias": dense.bias.tolist()}
        norm = net.norms[l] if l < len(net.norms) else None
        if isinstance(norm, (nn.BatchNorm1d, nn.LayerNorm)):
            layer["norm"] = {"scale": norm.weight.tolist(), "shift": norm.bias.tolist()}
            if isinstance(norm, nn.BatchNorm1d):
                layer["norm"]["running"] = [norm.running_mean.tolist(), norm.running_var.tolist()]
        result.append(layer)
    return {"layers": result}


def train(net, x, t, dtype):
    """Ten steps in that precision: the losses, the layers behind them, and the outputs."""
    net = copy.deepcopy(net).to(dtype)
    inputs, targets, losses = torch.tensor(x, dtype=dtype), torch.tensor(t, dtype=dtype), []
    optimizer = torch.optim.SGD(net.parameters(), lr=LR)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(inputs), targets)
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
    final = layers(net)
    net.eval()
    with torch.no_grad():
        return losses, final, net(inputs).tolist()


def numbers(layer):
    parts = [layer["weight"], layer["bias"]]
    norm = layer.get("norm", {})
    return parts + [norm[key] for key in ("scale", "shift", "running") if key in norm]


def error(found, expected):
    """The largest error of a tensor, of its largest magnitude."""
    found, expected = torch.tensor(found, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64)
    return ((found - expected).abs().max() / expected.abs().max()).item()


def case(norm, depth, skip, rng):
    net = Net(norm, depth, skip).double()
    with torch.no_grad():
        for name, p in net.named_parameters():
            values = [rng.randint(-40, 40) / 64 for _ in range(p.numel())]
            p.copy_(torch.tensor(values).double().reshape(p.shape) + (1 if "norms" in name and "weight" in name else 0))
    x, t = grid(rng, ROWS, INPUTS), grid(rng, ROWS, OUTPUTS)
    losses, final, outputs = train(net, x, t, torch.float64)
    single = train(net, x, t, torch.float32)
    pairs = [(single[0], losses), (single[2], outputs)]
    pairs += [p for a, b in zip(single[1]["layers"], final["layers"]) for p in zip(numbers(a), numbers(b))]
    return {"norm": norm, "depth": depth, "skip": skip, "inputs": x, "targets": t, "initial": layers(net),
            "losses": losses, "final": final, "outputs": outputs,
            "single_error": max(error(found, expected) for found, expected in pairs)}


rng = random.Random(5)
cases = [case(norm, depth, skip, rng) for norm in NORMS for depth, skip in [(2, 0), (3, 1), (5, 2)]]
path = Path(__file__).resolve().parent / "layers.json"
path.write_text(json.dumps({"lr": LR, "steps": STEPS, "cases": cases}) + "\n")
