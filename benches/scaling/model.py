#!/usr/bin/env python3
"""What was measured of steps over two ranks, and a model of their time for more nodes and other networks.

    benches/scaling/model.py benches/results/ranks.jsonl

The lines are those of `measure`. A step of N nodes takes
    t(N) = a + b · rows + t_sum(N, P)
where rows is a node's part of the batch; a, the part that doesn't shrink with it, and b follow from the steps of one rank
for the whole batch and an eighth of it. The sum of P gradients (4P bytes) by recursive halving and doubling takes
    t_sum(N, P) = 2 log₂(N) α + 2 (N − 1)/N · 4P (1/β + γ)
α is the latency of a message, β the bandwidth, γ the seconds that a rank needs for a byte itself. Two ranks of one
machine have α and 1/β + γ, which are fitted to measured sums; a network has its own α and β, and γ is then that fitted
sum, which is a bound. In K buckets a sum takes K times the latency; a bucket is summed while the layers below are computed
backward, which is two thirds of b · rows.
"""

import itertools
import json
import math
import statistics
import sys

# Latency of a message in seconds, as usual for TCP on Ethernet, and for RDMA on the fastest; bytes a second.
NETWORKS = {"10 Gbit/s": (30e-6, 1.25e9), "25 Gbit/s": (20e-6, 3.125e9), "100 Gbit/s": (3e-6, 12.5e9)}
NODES = [8, 64, 512]
# Bytes of a bucket.
BUCKETS = [1 << shift for shift in range(18, 28, 2)]
# A node computes at least so many rows of a batch: the model says nothing of fewer.
FEWEST_ROWS = 2


def fit(sums):
    """Seconds of a message and of a byte in sums (elements, seconds) of two ranks: least squares of relative errors.
    Such a sum is two messages of half the bytes each."""
    aa = ab = bb = at = bt = 0.0
    for elements, seconds in sums:
        x, y = 2 / seconds, 4 * elements / seconds
        aa, ab, bb, at, bt = aa + x * x, ab + x * y, bb + y * y, at + x, bt + y
    det = aa * bb - ab * ab
    return (at * bb - bt * ab) / det, (aa * bt - ab * at) / det


def sum_seconds(nodes, size, latency, per_byte, buckets=1):
    """Of `size` bytes."""
    return 2 * math.log2(nodes) * latency * buckets + 2 * (nodes - 1) / nodes * size * per_byte


def table(head, rows):
    print("\n| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def number(x):
    return f"{x:.2f}" if x < 10 else f"{x:.0f}"


def medians(lines, *keys):
    """The median seconds of the lines that agree in `keys`."""
    found = {}
    for line in lines:
        found.setdefault(tuple(line[key] for key in keys), []).append(line["seconds"])
    return {key: statistics.median(seconds) for key, seconds in found.items()}


def ratio(rounds, kind, other):
    """The median over rounds of the steps of `kind` by those of `other`."""
    pairs = zip(rounds.get(kind, []), rounds.get(other, []))
    found = [a / b for a, b in pairs]
    return f"{statistics.median(found):.2f}" if found else "–"


def show_steps(lines):
    """Steps as they were measured, and their ratios within a round."""
    kinds = [("one process", 1), ("fastest", 2), ("reproducible", 2), ("ddp", 2), ("torch", 1)]
    by_case = {}
    for line in lines:
        rounds = by_case.setdefault(line["case"], {})
        rounds.setdefault((line["kind"], line["ranks"], line.get("rows")), []).append(line["seconds"])
    rows = []
    for case, found in by_case.items():
        # Of several numbers of rows the whole batch.
        whole = {}
        for kind, ranks, count in sorted(found, key=lambda key: key[2] or 0):
            whole[kind, ranks] = found[kind, ranks, count]
        cells = [f"{1e3 * statistics.median(whole[kind]):.2f}" if kind in whole else "–" for kind in kinds]
        one, fastest, fixed, ddp, _ = kinds
        pairs = [(fastest, one), (fixed, one), (fastest, ddp), (fixed, ddp)]
        rows.append([case, *cells, *(ratio(whole, a, b) for a, b in pairs)])
    print("Milliseconds of a step, and ratios: the median over rounds.")
    head = ["net", "1 process", "2 ranks", "2 ranks, reproducible", "DDP", "PyTorch, 1 process"]
    head += ["2 ranks ÷ 1 process", "reproducible ÷ 1 process", "÷ DDP", "reproducible ÷ DDP"]
    table(head, rows)


def show_sums(sums):
    """Sums, and what the model says of them; the fitted costs of each order."""
    costs = {}
    for order in ["mpi", "tree"]:
        of = {key[0]: t for key, t in sums.items() if key[0] == key[1] and key[2] == order}
        costs[order] = alpha, per_byte = fit(of.items())
        off = [abs(sum_seconds(2, 4 * n, alpha, per_byte) / t - 1) for n, t in of.items()]
        print(
            f"Sums of two ranks on this machine, by {order}: a message takes {1e6 * alpha:.1f} µs, a byte "
            f"{1e9 * per_byte:.3f} ns; the model is off by {100 * statistics.median(off):.0f}% (median), {100 * max(off):.0f}% (most)."
        )
        rows = [[f"{n:,}", f"{1e6 * t:.1f}", f"{1e6 * sum_seconds(2, 4 * n, alpha, per_byte):.1f}"] for n, t in sorted(of.items())]
        table(["elements", "measured µs", "model µs"], rows)
    alpha, per_byte = costs["mpi"]
    rows = []
    for (n, bucket, order), t in sorted(sums.items()):
        if order == "mpi" and any(key[0] == n and key[1] < n for key in sums):
            model = sum_seconds(2, 4 * n, alpha, per_byte, math.ceil(n / bucket))
            rows.append([f"{n:,}", f"{4 * bucket / 1024:,.0f}", f"{1e6 * t:.0f}", f"{1e6 * model:.0f}"])
    print("Sums in buckets, one after the other.")
    table(["elements", "KiB a bucket", "measured µs", "model µs"], rows)
    return costs


def show_overlap(lines):
    found = {name: 1e3 * t for (name,), t in medians(lines, "overlap").items()}
    if found:
        print(
            f"On this machine, with a thread for each processor: computing takes {found['compute']:.2f} ms, a sum "
            f"{found['sum']:.2f} ms,\none after the other {found['one after the other']:.2f} ms, at once {found['at once']:.2f} ms.\n"
        )


def show_check(steps, parameters, costs):
    """Measured steps of two ranks against the model: each rank's part computed at the same time, and the sum."""
    rows = []
    for case, p in parameters.items():
        batch = max(key[3] for key in steps if key[0] == case and key[1] == "one process")
        apart = next((t for key, t in steps.items() if key[:2] == (case, "apart")), None)
        alone, fixed = steps.get((case, "alone", 1, batch)), steps.get((case, "reproducible", 1, batch))
        if None in (apart, alone, fixed):
            continue
        # Two ranks have half of the blocks each, and one thread instead of two.
        for kind, order, more in [("fastest", "mpi", 0.0), ("reproducible", "tree", fixed - alone)]:
            exchange = sum_seconds(2, 4 * p, *costs[order])
            measured, model = steps[case, kind, 2, batch], apart + more + exchange
            cells = [f"{1e3 * t:.2f}" for t in (measured, model, exchange)]
            rows.append([case, kind, *cells, f"{100 * (model / measured - 1):+.0f}%"])
    print("Steps of two ranks: measured, by the model, and its part for the sum, in ms.")
    table(["net", "order", "measured", "model", "sum", "model is off by"], rows)


def step_seconds(rows, nodes, size, fixed, per_row, network, gamma):
    """A step without and with overlap, and the sum's share of the one without."""
    latency, bandwidth = network
    per_byte = 1 / bandwidth + gamma
    compute, exchange = fixed + per_row * rows, sum_seconds(nodes, size, latency, per_byte)
    overlapped = []
    for bucket in BUCKETS:
        count = math.ceil(size / bucket)
        whole = sum_seconds(nodes, size, latency, per_byte, count)
        # The last bucket is that of the first layer, below which nothing is computed.
        hidden = 2 / 3 * per_row * rows * (count - 1) / count
        overlapped.append(compute + max(whole / count, whole - hidden))
    return compute + exchange, min(overlapped), exchange / (compute + exchange)


def show_nodes(steps, parameters, costs):
    gamma = costs["tree"][1]
    head = [f"{net}, {n}" for net, n in itertools.product(NETWORKS, NODES)]
    rows = []
    for case, p in parameters.items():
        alone = sorted((key[3], t) for key, t in steps.items() if key[:3] == (case, "alone", 1))
        if len(alone) < 2:
            continue
        (few, t_few), (batch, t_batch) = alone[0], alone[-1]
        per_row = (t_batch - t_few) / (batch - few)
        fixed = max(0.0, t_batch - per_row * batch)
        one = steps[case, "one process", 1, batch]
        for kind in ["strong", "weak"]:
            cells = []
            for network, n in itertools.product(NETWORKS.values(), NODES):
                mine = batch / n if kind == "strong" else batch
                if mine < FEWEST_ROWS:
                    cells.append("–")
                    continue
                plain, overlapped, share = step_seconds(mine, n, 4 * p, fixed, per_row, network, gamma)
                work = one * (n if kind == "weak" else 1)
                cells.append(f"{number(work / plain)} ({number(work / overlapped)}), {100 * share:.0f}%")
            rows.append([case, kind, *cells])
    print(
        "Speed-up of N nodes like this one over one, in brackets if sums overlapped with the backward pass, and the\n"
        "sum's share of a step without overlap. Strong: the same batch; weak: the same rows for each node."
    )
    table(["net", "", *head], rows)


def main(path):
    with open(path) as file:
        lines = [json.loads(line) for line in file if line.startswith("{")]
    timed = [line for line in lines if "case" in line]
    sums = medians((x for x in lines if "sum" in x and x["ranks"] == 2), "sum", "bucket", "order")
    own = [line for line in timed if "rows" in line]
    steps = medians(own, "case", "kind", "ranks", "rows")
    parameters = {line["case"]: line["parameters"] for line in own}
    show_steps(timed)
    if len(sums) < 4:
        return print("Without sums (`ranks.rs sums`) there is no model.")
    costs = show_sums(sums)
    show_check(steps, parameters, costs)
    show_overlap([line for line in lines if "overlap" in line])
    show_nodes(steps, parameters, costs)


if __name__ == "__main__":
    main(sys.argv[1])
