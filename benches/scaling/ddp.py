#!/usr/bin/env python3
"""Step times of PyTorch's DistributedDataParallel with gloo, for the cases of `ranks.rs`: a line of JSON for each.

    benches/scaling/ddp.py [--ranks 2] [--threads 1] [--seconds 3] [CASE[@BATCH]…]

A step is that of `ranks.rs`: the rows of a batch are gathered from random data in a random order, then forward pass,
backward pass with the all-reduce of the gradients, and the fused optimizer. The batch is that of all ranks together.
With --ranks 1 it is PyTorch in one process, without DistributedDataParallel.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.multiprocessing as mp
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "peers"))
import common
import measure
import torch_peer

# Rows of the data set, as in src/train/bench/cases.rs.
ROWS = {"S64": 60_000, "S128": 60_000, "M": 60_000, "T": 65_536, "H": 18_432, "L": 2048}
# Seconds of a run of steps; the result is the median of runs.
STRETCH = 0.1


def random_data(case, rows):
    """Inputs (rows, n_0) and targets: labels (rows,) or numbers (rows, n_L)."""
    random = torch.Generator().manual_seed(0)
    x = torch.rand(rows, case.widths[0], generator=random)
    if case.loss == "cross-entropy":
        return x, torch.arange(rows) % case.widths[-1]
    return 2 * x - 1, 2 * torch.rand(rows, case.widths[-1], generator=random) - 1


def seconds_of(steps, ranks, seconds):
    """The median of the seconds of a step; `steps(n)` takes n of them. All ranks take as many."""
    steps(3)
    begin = time.perf_counter()
    steps(3)
    one = (time.perf_counter() - begin) / 3
    each = max(1, min(10_000, round(STRETCH / one)))
    counts = torch.tensor([each, max(3, round(seconds / max(STRETCH, one)))])
    if ranks > 1:
        distributed.broadcast(counts, 0)
    each, runs = counts.tolist()
    found = []
    for _ in range(runs):
        begin = time.perf_counter()
        steps(each)
        found.append((time.perf_counter() - begin) / each)
    return statistics.median(found)


def time_case(name, rank, args):
    case_name, _, batch = name.partition("@")
    case = common.CASES[case_name]
    batch = int(batch or case.batch)
    mine = batch // args.ranks
    torch.manual_seed(0)
    x, y = random_data(case, ROWS[case_name])
    model = torch_peer.build(case.widths)
    parameters = sum(p.numel() for p in model.parameters())
    optimizer = torch_peer.optimizer_of(case, model.parameters(), fused=True)
    if args.ranks > 1:
        # Gradients are views of the buckets, which saves a copy: the fastest that it offers.
        model = DistributedDataParallel(model, gradient_as_bucket_view=True)
    step = torch_peer.simple_step(torch_peer.loss_function(case, model), optimizer)
    order, at = torch.randperm(len(x)), 0

    def steps(count):
        nonlocal order, at
        for _ in range(count):
            if at + batch > len(x):
                order, at = torch.randperm(len(x)), 0
            step(x, y, order[at + rank * mine : at + (rank + 1) * mine])
            at += batch

    seconds = seconds_of(steps, args.ranks, args.seconds)
    if rank == 0:
        kind = "ddp" if args.ranks > 1 else "torch"
        line = {"case": name, "ranks": args.ranks, "kind": kind}
        line |= {"parameters": parameters, "seconds": seconds}
        print(json.dumps(line), flush=True)


def work(rank, args):
    torch.set_num_threads(args.threads)
    if args.ranks > 1:
        # One rank a processor, as mpirun binds wgrad's.
        processors = sorted(os.sched_getaffinity(0))
        if args.ranks * args.threads <= len(processors):
            first = rank * args.threads
            os.sched_setaffinity(0, processors[first : first + args.threads])
        where = f"tcp://127.0.0.1:{args.port}"
        distributed.init_process_group(
            "gloo", init_method=where, rank=rank, world_size=args.ranks
        )
    for name in args.cases:
        time_case(name, rank, args)
    if args.ranks > 1:
        distributed.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("cases", nargs="*", default=["S64", "M", "H", "L"])
    args = parser.parse_args()
    # Read when a process starts: memory stays with it, and so many threads.
    os.environ.update(measure.KEEP | {name: str(args.threads) for name in measure.THREADS})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        args.port = free.getsockname()[1]
    # A process of its own for a single rank, too, so that it takes over the environment.
    mp.start_processes(work, (args,), nprocs=args.ranks, start_method="spawn")


if __name__ == "__main__":
    main()
