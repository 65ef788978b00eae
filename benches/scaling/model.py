#!/usr/bin/env python3
"""A model of the time of a data-parallel step, from measured steps and sums: how much faster N nodes are.

    benches/scaling/model.py benches/results/ranks.jsonl

A step of N ranks takes
    t(N) = t_gradient · rows(N)/rows(1) + t_rest + t_sum(N)
where t_gradient is the part of a measured step of one process that shrinks with its rows, t_rest the update, which every
rank takes alone, and
    t_sum(N) = 2 (N − 1) α + 2 (N − 1)/N · 4P / β + 4P γ
the sum of P gradients: 2 (N − 1) messages of latency α each (a reduce-scatter and an all-gather of direct exchanges),
the bytes at β a second, and passes of the rank over its own gradients at γ seconds a byte. On one machine α and β + γ are
fitted to measured all-reduces; for networks α and β are those of the network, and γ that of the machine.
"""

import json
import sys

# Latency of a message in seconds, as usual for TCP on Ethernet, and for RDMA on the fastest.
NETWORKS = {"10 Gbit/s": (30e-6, 1.25e9), "25 Gbit/s": (20e-6, 3.125e9), "100 Gbit/s": (3e-6, 12.5e9)}
NODES = [8, 64, 512]
# The part of a step of one process that doesn't shrink with its rows: the update reads and writes every parameter.
BATCH = {"S64": 64, "M": 256, "H": 256, "L": 512}


def fit(sums):
    """α and seconds a byte of all-reduces of two ranks: least squares of relative errors."""
    rows = [(1.0, 4.0 * n, t) for n, t in sums]
    a = b = c = d = e = 0.0
    for one, size, t in rows:
        w = 1.0 / (t * t)
        a += w * one * one
        b += w * one * size
        c += w * size * size
        d += w * one * t
        e += w * size * t
    det = a * c - b * b
    return (d * c - e * b) / det, (a * e - b * d) / det


def main(path):
    lines = [json.loads(line) for line in open(path) if line.startswith("{")]
    sums = sorted((x["sum"], x["seconds"]) for x in lines if "sum" in x and x["ranks"] == 2)
    alpha, per_byte = fit(sums)
    print(f"all-reduce of 2 ranks on this machine: {1e6 * alpha:.1f} µs + {1e9 * per_byte:.3f} ns a byte\n")
    print("| elements | measured µs | model µs |\n| --- | --- | --- |")
    for n, t in sums:
        print(f"| {n:,} | {1e6 * t:.1f} | {1e6 * (alpha + 4 * n * per_byte):.1f} |")
    one = {x["case"]: x for x in lines if x.get("kind") == "one process" and "update" not in x}
    print("\nSpeed-up over one node; strong: the same batch, weak: the same rows for each node.\n")
    head = [f"{net}, {n} nodes" for net in NETWORKS for n in NODES]
    print("| net | | " + " | ".join(head) + " |\n|" + " --- |" * (len(head) + 2))
    for case, x in one.items():
        t, size = x["seconds"], 4.0 * x["parameters"]
        # The update: seven passes over the parameters at the speed of the memory.
        rest = min(0.5 * t, 7 * size * per_byte / 4)
        for kind in ["strong", "weak"]:
            cells = []
            for latency, bandwidth in NETWORKS.values():
                for n in NODES:
                    share = 1 / n if kind == "strong" else 1.0
                    exchange = 2 * (n - 1) * latency + 2 * (n - 1) / n * size / bandwidth
                    step = (t - rest) * share + rest + exchange + size * per_byte
                    gain = t / step * (1 if kind == "strong" else n)
                    cells.append(f"{gain:.2f}" if gain < 10 else f"{gain:.0f}")
            print(f"| {case} | {kind} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(sys.argv[1])
