"""Who takes part: how each one is started for a case. All of them say "ready" when they are warm, and
then give one measurement as a line of JSON for each line that they read."""

import json
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Where setup puts things; what was brought along lies beside the scripts.
BUILT = HERE.parent.parent / "target/peers"

# Layers and rules of the cases that wgrad's command line can say; T and L are random.
LAYERS = {
    "S64": ("128:relu", "adam"),
    "S128": ("128:relu", "adam"),
    "M": ("1024:relu,1024:relu", "adam"),
    "H": ("512:relu,256:relu,384:relu", "adamw"),
}
BATCH = {"S64": 64, "S128": 128, "M": 256, "T": 16384, "H": 256, "L": 512}
# Of a software adapter, which needs minutes for a step otherwise.
SMALL = {**BATCH, "M": 16, "T": 256, "H": 64, "L": 2}
# The cases whose inputs have zeros.
ON_MNIST = ("S64", "S128", "M")
# As in common.py, where the reason stands.
COLD = "--layers 256:relu --batch-size 128 --lr 0.008 --schedule linear --epochs 4"
COLD = f"{COLD} --label-smoothing 0.05".split()
SPEED = ["S64", "S128", "M", "T", "H", "L"]
CASES = [*SPEED, "product", "cold", "start", "memory"]


def batch(case, args):
    """Batch size."""
    if args.small:
        return SMALL[case]
    return 4096 if (case, args.device) == ("L", "gpu") else BATCH[case]


def peer_device(args):
    """Where the peers compute: a software adapter is compared with them on its processor."""
    return "cpu" if args.small else args.device


def wgrad(case, args, precision="f32"):
    """The command of wgrad for a case; `product` is its best matrix product."""
    data = Path(args.data)
    chosen = ["--device", args.device, "--threads", str(args.threads), "--json"]
    if case == "cold":
        rest = ["--data-dir", data / "mnist", "--stop-at", "accuracy=0.98", "--quiet", "--force"]
        return [args.binary, "train", "mnist", *COLD, *rest, *chosen]
    if case in LAYERS:
        layers, rule = LAYERS[case]
        table = ["--data", data / "housing.csv", "--task", "regression", "--scaling", "none"]
        work = table if case == "H" else ["--data", "mnist", "--data-dir", data / "mnist"]
        work += ["--layers", layers, "--optimizer", rule, "--lr", 0.001]
        work += ["--weight-decay", 0.01] if rule == "adamw" else []
    else:
        work = ["--case", case]
    if case != "product":
        work += ["--batch-size", batch(case, args), "--precision", precision]
    return bench(args, *work, *chosen)


def bench(args, *options):
    return [args.binary, "bench", *options, "--seconds", args.seconds, "--serve"]


def wgrad_no_zeros(case, args):
    """The same on random pixels: on a CPU, wgrad leaves out what MNIST's blank pixels multiply."""
    chosen = ["--device", args.device, "--threads", args.threads, "--json"]
    return bench(args, "--case", case, *map(str, chosen))


def built(name, file, args):
    """Where a peer's program is, or would be: in the repository, HERE has a folder of this name."""
    found = [HERE / name, BUILT / name / "release" / file]
    return next((path for path in found if path.is_file()), found[-1])


def missing(name):
    """Why setup could not install a contender."""
    notes = {}
    for file in [BUILT / "missing.json", HERE / "missing.json"]:
        notes.update(json.loads(file.read_text()) if file.exists() else {})
    return notes.get(name, "not installed: benches/peers/setup does it")


def peers(args):
    """By name: the beginning of the command, and the cases."""
    venv = Path(os.environ.get("WGRAD_PEERS_VENV", BUILT / "venv")) / "bin/python"
    python = args.python or (str(venv) if venv.exists() else sys.executable)

    def script(peer, mode, *more):
        return [python, HERE / f"{peer}_peer.py", "--mode", mode], [*SPEED, *more]

    def burn(backend, *cases):
        return [built(f"burn-{backend}", "burn-peer", args), "--mode", backend], [*cases]

    gpu = args.device == "gpu"
    found = {"torch-eager": script("torch", "eager", "cold", "product")}
    found["torch-compile"] = script("torch", "compile")
    if gpu:
        found["torch-graph"] = script("torch", "graph", "cold")
        found["torch-compile-graph"] = script("torch", "compile-graph")
        found["torch-compile-f16"] = [script("torch", "compile-f16")[0], ["M", "L"]]
    else:
        found["torch-compile-step"] = script("torch", "compile-step")
    found["jax"] = script("jax", "", "cold", "product")
    if gpu:
        found["burn-vulkan"] = burn("vulkan", *SPEED, "cold")
        found["burn-wgpu"] = burn("wgpu", *SPEED, "cold")
        found["meganeura"] = [[built("meganeura", "meganeura-peer", args)], ["S64", "S128"]]
    else:
        found["sklearn"] = script("sklearn", "", "cold")
        found["numpy"] = [script("sklearn", "")[0], ["product"]]
        found["burn-flex"] = burn("flex", *SPEED, "cold")
        found["burn-cpu"] = burn("cpu", *SPEED, "cold")
    chosen = args.peers.split(",") if args.peers is not None else found
    return {name: found[name] for name in found if name in chosen}


def peer_command(begin, case, args):
    """The command of a peer for a case."""
    command = [*begin, "--case", case, "--data", args.data, "--device", peer_device(args)]
    size = ["--size", batch(case, args)] if case in BATCH else []
    return [*command, *size, "--threads", args.threads, "--seconds", args.seconds]
