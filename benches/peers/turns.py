"""Contenders in turns: those of a case are started and warmed up, and then measured one after the other,
round by round and each round in another order."""

import random
import sys
import tempfile
import time
from pathlib import Path

import contenders
from measure import Held, Process, undisturbed

GONE = (RuntimeError, TimeoutError, OSError)


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def in_turns(names, rounds, measure):
    """`measure(name, round)` for each name in each round, a round in an order of its own."""
    found = {name: [] for name in names}
    names = list(names)
    for turn in range(rounds):
        order = random.Random(turn).sample(names, len(names))
        for name in order:
            # What failed once is not tried again.
            if not (found[name] and "failed" in found[name][0]):
                try:
                    found[name].append(measure(name, turn))
                except GONE as error:
                    found[name] = [{"failed": str(error)}]
    return found


def commands_of(case, args):
    """The commands of the contenders that take part in a case, and why others can't."""
    commands, failed = {"wgrad": contenders.wgrad(case, args)}, {}
    if case in contenders.ON_MNIST and args.device == "cpu":
        commands["wgrad-no-zeros"] = contenders.wgrad_no_zeros(case, args)
    if case in ("M", "L") and args.device == "gpu":
        commands["wgrad-f16"] = contenders.wgrad(case, args, precision="f16")
    for name, (begin, cases) in contenders.peers(args).items():
        if case not in cases:
            continue
        program = Path(begin[0])
        if "/" in str(program) and not program.exists():
            failed[name] = [{"failed": contenders.missing(name)}]
        else:
            commands[name] = contenders.peer_command(begin, case, args)
    return commands, failed


def get_ready(commands, args, meanwhile=lambda: None):
    """The processes of the commands once they are warm, and why others are not. On a GPU they get
    ready side by side, most of it being the work of compilers, and beside what is done `meanwhile`;
    on a CPU they would be in each other's way."""
    begin = time.perf_counter()
    warm, failed = {}, {}

    def wait(key, process, seconds):
        try:
            process.until_ready(seconds)
            warm[key] = process
        except GONE as error:
            failed[key] = [{"failed": f"not ready: {error}"}]
            process.end(kill=True)

    side_by_side = contenders.peer_device(args) == "gpu" and not args.one_by_one
    started = {key: Process(commands[key], args) for key in commands if side_by_side}
    meanwhile()
    waited = time.perf_counter()
    for key, command in commands.items():
        process = started.get(key) or Process(command, args)
        done = time.perf_counter() - waited if side_by_side else 0
        wait(key, process, max(1, args.limit - done))
    say(f"{len(warm)} ready after {time.perf_counter() - begin:.0f} s")
    return warm, failed


def burn_launches(command, args):
    """Launches a step of burn, counted in CubeCL's log: what more steps add to it."""
    counts = []
    for steps in (16, 48):
        with tempfile.TemporaryDirectory() as directory:
            log = Path(directory, "log")
            logger = f'[profiling.logger]\nlevel = "minimal"\nfile = "{log}"\n'
            Path(directory, "cubecl.toml").write_text(logger)
            process = Process([*command, "--steps", steps], args, directory=directory)
            try:
                process.line(args.limit)
            finally:
                process.end(kill=True)
            counts.append(log.read_text().count("Executing "))
    return {"dispatches_per_step": (counts[1] - counts[0]) / 32}


def pace(cases, args, meanwhile=lambda: None):
    """Samples per second of the contenders, all of them warm, for each of the cases."""
    commands, found = {}, {}
    for case in cases:
        takers, found[case] = commands_of(case, args)
        for name, command in takers.items():
            commands[case, name] = command if "--serve" in command else [*command, "--serve"]
    with Held(args.warm_lock):
        warm, failed = get_ready(commands, args, meanwhile)
    for (case, name), why in failed.items():
        found[case][name] = why

    def measure(key, _):
        process = warm[key]
        result = undisturbed(process, lambda: process.ask(args.limit))
        return {**result, "peak_mib": process.peak_mib()}

    with Held(args.lock):
        for case in cases:
            measured = in_turns([k for k in warm if k[0] == case], args.rounds, measure)
            found[case].update({name: runs for (_, name), runs in measured.items()})
    # Behind all measurements: what counts launches may slow a process down for good.
    for (case, name), process in warm.items():
        try:
            counted = {}
            if name.startswith("torch") and contenders.peer_device(args) == "gpu":
                counted = process.ask(args.limit, "launches")
            elif name.startswith("burn") and args.device == "gpu":
                process.end(kill=True)
                counted = burn_launches(commands[case, name], args)
            found[case][name] = [{**run, **counted} for run in found[case][name]]
        except GONE as error:
            say(f"{case}, {name}: launches not counted: {error}")
        process.end(kill=True)
    return found


def cold(args):
    """Seconds from the start of a process to 98% of held-out rows."""
    commands, failed = commands_of("cold", args)

    def measure(name, turn):
        with tempfile.TemporaryDirectory() as directory:
            out = ["--out", f"{directory}/run"] if name == "wgrad" else []
            process = Process([*commands[name], "--seed", turn, *out], args)
            try:
                result = process.json(args.limit)
                while (
                    result.get("event") in ("start", "epoch") and result.get("accuracy", 0) < 0.98
                ):
                    result = process.json(args.limit)
                seconds = time.perf_counter() - process.start
                if result.get("accuracy", 0) < 0.98:
                    reached = (result.get("valid") or result).get("accuracy", 0)
                    raise RuntimeError(f"{reached:.2%} after the last epoch")
                epochs = result.get("epochs", result.get("epoch"))
                version = result.get("version", "")
                return {"seconds": seconds, "epochs": epochs, "version": version}
            finally:
                process.end(kill=True)

    # Twice on a GPU, where the whole has to be done in minutes.
    rounds = args.rounds if args.device == "cpu" else min(args.rounds, 2)
    with Held(args.lock):
        return {**in_turns(commands, rounds, measure), **failed}
