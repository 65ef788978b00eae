"""PyTorch, in these modes:

eager         the usual loop, fused optimizer
compile       the model with its loss compiled, fused optimizer (GPU: CUDA graphs by the compiler)
compile-step  the whole step, optimizer included, as one compiled function
graph         GPU: many eager steps captured in one CUDA graph, fused capturable optimizer
compile-graph GPU: the same with the model compiled
compile-f16   the model with its loss compiled in f16 by autocast, with a gradient scaler
"""

import functools
import itertools
import sys

import torch
from torch import nn
from torch.nn import functional as F

import common

STEPS_PER_GRAPH = 64


def build(widths):
    pairs = itertools.pairwise(widths)
    layers = itertools.chain(*((nn.Linear(n, m), nn.ReLU()) for n, m in pairs))
    return nn.Sequential(*list(layers)[:-1])


def optimizer_of(case, params, **options):
    if case.optimizer == "adam":
        return torch.optim.Adam(params, case.lr, **options)
    if case.optimizer == "adamw":
        return torch.optim.AdamW(params, case.lr, weight_decay=common.WEIGHT_DECAY, **options)
    options.pop("capturable", None)
    return torch.optim.SGD(params, case.lr, **options)


def loss_function(case, model):
    error = F.mse_loss
    if case.loss == "cross-entropy":
        error = functools.partial(F.cross_entropy, label_smoothing=case.smoothing)
    return lambda x, y, rows: error(model(x[rows]), y[rows])


def simple_step(loss_of, optimizer):
    """Rows in, loss out; the backward pass and the optimizer are PyTorch's own."""

    def step(x, y, rows):
        loss = loss_of(x, y, rows)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def scaled_step(loss_of, optimizer, device):
    """In f16: the loss is scaled, and a step whose gradient overflows is left out."""
    scaler = torch.amp.GradScaler(device.type)

    def step(x, y, rows):
        with torch.autocast(device.type, torch.float16):
            loss = loss_of(x, y, rows)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        return loss

    return step


def compiled_step(case, model):
    """The gradient by `torch.func` and the optimizer written out: one graph for the compiler."""
    params = {k: p.detach() for k, p in model.named_parameters()}
    m, v = ({k: torch.zeros_like(p) for k, p in params.items()} for _ in range(2))
    time = torch.zeros((), device=next(iter(params.values())).device)
    error = F.cross_entropy if case.loss == "cross-entropy" else F.mse_loss
    decay = common.WEIGHT_DECAY if case.optimizer == "adamw" else 0

    def loss_of(params, x, y):
        return error(torch.func.functional_call(model, params, (x,)), y)

    @torch.compile(fullgraph=True)
    def step(params, m, v, time, x, y, rows):
        gradient, loss = torch.func.grad_and_value(loss_of)(params, x[rows], y[rows])
        time.add_(1)
        c1, c2 = 1 - 0.9**time, 1 - 0.999**time
        for k, p in params.items():
            if case.optimizer == "sgd":
                p.sub_(gradient[k], alpha=case.lr)
                continue
            m[k].lerp_(gradient[k], 0.1)
            v[k].lerp_(gradient[k].square(), 0.001)
            p.mul_(1 - case.lr * decay).sub_(case.lr * (m[k] / c1) / ((v[k] / c2).sqrt() + 1e-8))
        return loss

    return lambda x, y, rows: step(params, m, v, time, x, y, rows)


def captured(step, x, y, steps, batch):
    """`run(order)` replays CUDA graphs that hold as many steps as divide an epoch well."""
    size = max(n for n in range(1, min(steps, STEPS_PER_GRAPH) + 1) if steps % n == 0)
    if size < STEPS_PER_GRAPH // 4:
        size = min(steps, STEPS_PER_GRAPH)
    rows = torch.randperm(len(x), device=x.device)[: size * batch].clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(x, y, rows[:batch])
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for part in rows.split(batch):
            loss = step(x, y, part)

    def run(order):
        for part in order.split(size * batch):
            rows.copy_(part)
            graph.replay()
        return loss

    return run, steps // size * size


def settings(args):
    torch.manual_seed(args.seed)
    if args.device == "cpu":
        torch.set_num_threads(args.threads)
        return torch.device("cpu")
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no CUDA GPU here")
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


def prepare(case, x, y, args):
    device = settings(args)
    x, y = torch.from_numpy(x).to(device), torch.from_numpy(y).to(device)
    model = build(case.widths).to(device)
    steps = len(x) // case.batch
    loss_of = loss_function(case, model)
    gpu, mode = args.device == "gpu", args.mode
    if mode == "compile-step":
        torch._inductor.config.cpp_wrapper = not gpu
        step = compiled_step(case, model)
    else:
        if "compile" in mode:
            whole = gpu and mode == "compile"
            loss_of = torch.compile(loss_of, mode="reduce-overhead" if whole else "default")
        options = {"fused": True} | ({"capturable": True} if "graph" in mode else {})
        optimizer = optimizer_of(case, model.parameters(), **options)
        if mode.endswith("f16"):
            step = scaled_step(loss_of, optimizer, device)
        else:
            step = simple_step(loss_of, optimizer)

    def run(order):
        for rows in order.split(case.batch):
            loss = step(x, y, rows)
        return loss

    if mode.endswith("graph"):
        run, steps = captured(step, x, y, steps, case.batch)

    def epochs(n):
        for _ in range(n):
            loss = run(torch.randperm(len(x), device=device)[: steps * case.batch])
        return loss.item()

    return epochs, steps


def cold(args):
    """Eager: nothing here runs long enough to pay for a compiler."""
    device = settings(args)
    x, y, held_x, held_y = map(torch.from_numpy, common.split_mnist(args.data, args.seed))
    x, y, held_x, held_y = (a.to(device) for a in (x, y, held_x, held_y))
    case = common.COLD
    model = build(case.widths).to(device)
    optimizer = optimizer_of(case, model.parameters(), fused=True)
    step = simple_step(loss_function(case, model), optimizer)
    total, done = common.COLD_EPOCHS * (len(x) // case.batch), 0

    def epoch(_):
        nonlocal done
        for rows in torch.randperm(len(x), device=device).split(case.batch)[: len(x) // case.batch]:
            optimizer.param_groups[0]["lr"] = case.lr * (1 - done / total)
            step(x, y, rows)
            done += 1
        with torch.no_grad():
            return (model(held_x).argmax(1) == held_y).float().mean().item()

    return common.until_accurate(epoch)


def launches(epochs):
    """Kernels, copies and fills of an epoch on the GPU, those in CUDA graphs too."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        epochs(1)
    kinds = (event.device_type for event in profiled.events())
    return sum(kind == torch.autograd.DeviceType.CUDA for kind in kinds)


def product(n, args):
    device = settings(args)
    dtype = torch.float16 if args.mode == "f16" else torch.float32
    a, b, c = (torch.rand(n, n, device=device, dtype=dtype) for _ in range(3))

    def products(count):
        for _ in range(count):
            torch.mm(a, b, out=c)
        return c[0, 0].item()

    return products


if __name__ == "__main__":
    common.main("torch", torch.__version__, prepare, cold, product, launches)
