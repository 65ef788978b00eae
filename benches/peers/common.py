"""What all Python contenders share: the cases, their data, and how they are timed."""

import argparse
import gzip
import json
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Case(NamedTuple):
    widths: tuple  # relu between, a linear output layer
    batch: int
    data: str
    loss: str  # "cross-entropy" or "squared" (mean over batch and outputs)
    optimizer: str
    lr: float
    rows: int = 0  # of random data
    smoothing: float = 0.0  # of labels


CASES = {
    "S64": Case((784, 128, 10), 64, "mnist", "cross-entropy", "adam", 1e-3),
    "S128": Case((784, 128, 10), 128, "mnist", "cross-entropy", "adam", 1e-3),
    "M": Case((784, 1024, 1024, 10), 256, "mnist", "cross-entropy", "adam", 1e-3),
    "T": Case((32, 64, 64, 64, 64, 16), 16384, "random", "squared", "adam", 1e-3, 65536),
    "H": Case((13, 512, 256, 384, 1), 256, "housing", "squared", "adamw", 1e-3),
    "L": Case((4096, 4096, 4096, 4096), 512, "random", "squared", "sgd", 1e-2, 2048),
}
WEIGHT_DECAY = 1e-2

# Until 98% of HELD_OUT rows of MNIST's training set are right. Of the settings tried (one layer of 192
# to 512 units or two, batches of 64 to 256, rates of 0.004 to 0.01, 3 to 6 epochs, labels smoothed or
# not), the one with the fewest operations for eight of eight seeds of wgrad.
# The rate falls linearly to zero at the end of the last epoch.
COLD = Case((784, 256, 10), 128, "mnist", "cross-entropy", "adam", 8e-3, smoothing=0.05)
COLD_EPOCHS = 4
HELD_OUT = 6000
THRESHOLD = 0.98


def idx(path):
    """A gzipped IDX file of bytes."""
    raw = gzip.decompress(Path(path).read_bytes())
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3]).reshape(shape)


def mnist(directory):
    """Training images as f32 in 0…1, (60000, 784), and labels."""
    images = idx(Path(directory) / "mnist/train-images-idx3-ubyte.gz")
    labels = idx(Path(directory) / "mnist/train-labels-idx1-ubyte.gz")
    return images.reshape(len(images), -1) / np.float32(255), labels.astype(np.int64)


def split_mnist(directory, seed):
    """MNIST's training set as training part and held-out part, drawn by the seed."""
    x, y = mnist(directory)
    order = np.random.default_rng(seed).permutation(len(x))
    held, kept = order[:HELD_OUT], order[HELD_OUT:]
    return x[kept], y[kept], x[held], y[held]


def housing(directory):
    """The table of `prepare`: all columns but the last, and the last, as f32."""
    table = np.loadtxt(Path(directory) / "housing.csv", np.float32, delimiter=",", skiprows=1)
    return [np.ascontiguousarray(part) for part in (table[:, :-1], table[:, -1:])]


def load(case, directory):
    """Inputs f32 (rows, n_0) and targets: labels i64 (rows,) or f32 (rows, n_L)."""
    if case.data == "mnist":
        return mnist(directory)
    if case.data == "housing":
        return housing(directory)
    rng = np.random.default_rng(0)
    rows = max(case.rows, 4 * case.batch)
    n = (rows, case.widths[0]), (rows, case.widths[-1])
    return [rng.standard_normal(shape, np.float32) for shape in n]


def rates(epochs, samples, seconds):
    """Samples per second in series of about `seconds / 8`; `epochs(n)` trains n and waits."""
    start = time.perf_counter()
    epochs(1)
    n = max(1, round(seconds / 8 / (time.perf_counter() - start)))
    found, end = [], time.perf_counter() + seconds
    while len(found) < 2 or time.perf_counter() < end:
        start = time.perf_counter()
        epochs(n)
        found.append(n * samples / (time.perf_counter() - start))
    return found, n


def until_accurate(epoch, epochs=COLD_EPOCHS):
    """`epoch(e)` trains the e-th epoch and gives the accuracy on held-out rows."""
    for e in range(epochs):
        accuracy = epoch(e)
        if accuracy >= THRESHOLD:
            break
    return {"accuracy": accuracy, "epochs": e + 1}


def main(contender, version, prepare, cold, product=None, launches=None):
    """The command line of a contender.

    `prepare(case, x, y, args)` gives `(epochs, steps)`: epochs(n) trains n whole epochs of so many
    steps, waits for the device and returns the loss of the last batch. `cold(args)` trains on MNIST
    until THRESHOLD. `product(n, args)` gives a function that multiplies n × n matrices so often, and waits.
    `launches(epochs)` counts the kernels of an epoch.
    With --serve, one measurement is made for each line read, so that the driver can take turns
    between contenders that are all warm; for the line "launches", kernels are counted instead.
    """
    started = time.perf_counter()
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", required=True, choices=[*CASES, "cold", "product"])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--data", required=True, help="as prepare wrote it")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--mode", default="")
    parser.add_argument("--size", type=int, help="batch size, or rows of the matrices of product")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", action="store_true")
    args = parser.parse_args()
    name = f"{contender}-{args.mode}" if args.mode else contender
    out = {"case": args.case, "contender": name, "version": version, "device": args.device}
    if args.case == "cold":
        print(json.dumps(out | cold(args)), flush=True)
        return
    if args.case == "product":
        size = args.size or (8192 if args.device == "gpu" else 2048)
        # Its samples are floating-point operations.
        epochs, steps, batch = product(size, args), 1, 2 * size**3
    else:
        case = CASES[args.case]
        case = case._replace(batch=args.size or case.batch)
        x, y = load(case, args.data)
        (epochs, steps), batch = prepare(case, x, y, args), case.batch
    epochs(1)
    loss = float(epochs(1))
    # Finds the length of the series, too.
    rates(epochs, steps * batch, args.seconds / 4)
    out |= {"warmup_seconds": time.perf_counter() - started, "loss": loss}
    if args.serve:
        print("ready", flush=True)
    for line in sys.stdin if args.serve else [""]:
        if line.strip() == "launches":
            counted = launches(epochs) / steps if launches else None
            print(json.dumps({"dispatches_per_step": counted}), flush=True)
            continue
        found, n = rates(epochs, steps * batch, args.seconds)
        out["samples_per_second"] = statistics.median(found)
        out["steps"] = steps * n * len(found)
        print(json.dumps(out), flush=True)
