"""From measurements to medians, quartiles, ratios and goals: one JSON file and one table."""

import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import contenders
from contenders import CASES, HERE, SPEED

WIDTHS = {
    "S64": (784, 128, 10),
    "S128": (784, 128, 10),
    "M": (784, 1024, 1024, 10),
    "T": (32, 64, 64, 64, 64, 16),
    "H": (13, 512, 256, 384, 1),
    "L": (4096, 4096, 4096, 4096),
}
# Times the samples per second of the fastest peer.
GOALS = {
    "cpu": {"S64": 1.5, "S128": 1.5, "M": 1.15, "T": 2.0, "H": 1.3, "L": 1.05},
    "gpu": {"S64": 2.0, "S128": 2.0, "M": 1.0, "T": 1.3, "H": 1.3, "L": 0.9},
}
# Parameters, gradients (SGD has no state) and one batch's activations of L, inputs included, in MiB.
L_BATCH = {"cpu": 512, "gpu": 4096}
L_PARAMETERS = 3 * (4096**2 + 4096)


def flops(case):
    """Operations of a sample: 6P − 2·n_0·n_1; the samples of a product are operations."""
    if case not in WIDTHS:
        return 1
    weights = [a * b for a, b in zip(WIDTHS[case], WIDTHS[case][1:])]
    return 6 * sum(weights) - 2 * weights[0]


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def command(program="benches/peers/run"):
    """How this was called, for others to repeat: paths of this machine by their last part."""
    words = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv]
    driver = os.environ.get("VK_ICD_FILENAMES")
    return " ".join([*([f"VK_ICD_FILENAMES={driver}"] if driver else []), program, *words[1:]])


def machine(binary):
    """Processor, memory, system, adapters with their drivers, versions."""
    cpu, memory = Path("/proc/cpuinfo"), Path("/proc/meminfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    facts = {k.strip(): v.strip() for k, v in (s.split(":", 1) for s in lines if ":" in s)}
    found = {
        "processor": facts.get("model name", platform.processor()),
        "family_model": f"{facts.get('cpu family')}/{facts.get('model')}",
        "avx512": "avx512f" in facts.get("flags", ""),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "wgrad": output(binary, "--version"),
    }
    if memory.exists():
        found["memory_gib"] = round(int(memory.read_text().split()[1]) / 2**20, 1)
    smi = output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if smi:
        found["gpu"] = smi.splitlines()[0]
    try:
        adapters = json.loads(output(binary, "devices", "--json"))["adapters"]
        keys = ("name", "driver", "backend")
        found["adapters"] = [", ".join(str(a[k]) for k in keys if k in a) for a in adapters]
    except (ValueError, KeyError):
        found["adapters"] = []
    return found


def median(values):
    return statistics.median(values) if values else None


def quartiles(values):
    if len(values) < 2:
        return [values[0], values[0]]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return [low, high]


def summary(case, rounds):
    """For each contender the median and quartiles, and the median ratio of wgrad to it in a round."""
    key = {"cold": "seconds", "start": "seconds", "memory": "peak_mib"}.get(case)
    key = key or "samples_per_second"
    found = {}
    for name, runs in sorted(rounds.items(), key=lambda c: c[0] != "wgrad"):
        if "failed" in runs[0]:
            found[name] = {"failed": runs[0]["failed"]}
            continue
        values = [run[key] for run in runs]
        row = {key: median(values), "quartiles": quartiles(values), "rounds": len(values)}
        own = [run.get(key) for run in rounds.get("wgrad", [])]
        if name != "wgrad" and len(own) == len(values) and None not in own:
            pairs = zip(own, values) if key == "samples_per_second" else zip(values, own)
            row["wgrad_ratio"] = median([a / b for a, b in pairs])
        if key == "samples_per_second":
            row["gflops"] = row[key] * flops(case) / 1e9
        for extra in ("peak_mib", "others", "epochs", "dispatches_per_step"):
            numbers = [run[extra] for run in runs if run.get(extra) is not None]
            if numbers and extra not in row:
                row[extra] = max(numbers) if extra == "others" else median(numbers)
        row["version"] = next((run["version"] for run in runs if run.get("version")), "")
        found[name] = row
    return found


def goals(tables, device):
    """The goals, each with what was reached."""
    found = []

    def goal(name, asked, reached, met):
        found.append({"goal": name, "asked": asked, "reached": reached, "met": bool(met)})

    def against(case, least, key, better, times):
        rows = {k: v for k, v in tables.get(case, {}).items() if key in v}
        peers = [k for k in rows if not k.startswith("wgrad")]
        if "wgrad" in rows and peers:
            best = better(peers, key=lambda k: rows[k][key])
            ratio = rows[best]["wgrad_ratio"]
            goal(
                f"{case}, against {best}", f"≥ {least:g} × {times}", f"{ratio:.2f}", ratio >= least
            )

    for case, least in GOALS[device].items():
        against(case, least, "samples_per_second", max, "its samples/s")
    products = [row["gflops"] for row in tables.get("product", {}).values() if "gflops" in row]
    for case in ("M", "L"):
        # Only operations that were done count.
        rows = tables.get(case, {})
        own = rows.get("wgrad-no-zeros", rows.get("wgrad", {}))
        if device == "cpu" and products and "gflops" in own:
            share = own["gflops"] / max(products)
            asked = f"≥ 85% of {max(products):.0f} GFLOP/s"
            goal(f"{case}, of the best product", asked, f"{share:.0%}", share >= 0.85)
    if device == "cpu":
        against("cold", 2.5, "seconds", min, "sooner")
    first = tables.get("start", {}).get("wgrad", {}).get("seconds")
    if first is not None and device == "cpu":
        goal("first step, data load aside", "≤ 100 ms", f"{first * 1000:.0f} ms", first <= 0.1)
    need = 4 * (2 * L_PARAMETERS + L_BATCH[device] * 4 * 4096) / 2**20
    for name, most in (("S", 150), ("L", 1.5 * need)):
        peak = tables.get("memory", {}).get(name, {}).get("peak_mib")
        if peak is not None and device == "cpu":
            goal(f"memory of {name}", f"≤ {most:.0f} MiB", f"{peak:.0f} MiB", peak <= most)
    return found


class Results:
    """What was measured so far; written after each case."""

    def __init__(self, args):
        self.path, self.device, self.args = Path(f"{args.out}.json"), args.device, args
        self.found = {"machine": machine(args.binary), "device": args.device, "cases": {}}
        if self.path.exists():
            before = json.loads(self.path.read_text())
            same = all(before[k] == self.found[k] for k in ("machine", "device"))
            if not same:
                sys.exit(
                    f"{self.path} is of another machine, device or version: name another --out"
                )
            self.found = before
        self.run = {
            "command": command(),
            "commit": output("git", "-C", HERE, "describe", "--always", "--dirty"),
            "threads": args.threads,
            "rounds": args.rounds,
            "seconds": args.seconds,
        }

    def add(self, case, rounds, when):
        run = {**self.run, "date": when.isoformat(" ", "minutes"), "load": os.getloadavg()[0]}
        if case in SPEED:
            run["batch"] = contenders.batch(case, self.args)
        self.found["cases"][case] = {"run": run, "summary": summary(case, rounds), "rounds": rounds}
        self.write()

    def write(self):
        self.found["goals"] = goals(
            {case: found["summary"] for case, found in self.found["cases"].items()}, self.device
        )
        text = table(self.found)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.found, indent=1) + "\n")
        self.path.with_suffix(".md").write_text(text)
        return text


def table(found):
    m, cases = found["machine"], found["cases"]
    adapter = m.get("gpu") or "; ".join(m["adapters"]) or "none"
    lines = [
        f"{m['processor']} (family/model {m['family_model']}{', AVX-512' if m['avx512'] else ''}), "
        f"{m['processors']} processors, {m.get('memory_gib', '?')} GiB, {m['system']}; "
        f"adapter: {adapter}; {m['wgrad']}; device {found['device']}.",
        "",
        "| case | contender | version | samples/s | quartiles | steps/s | launches per step | GFLOP/s "
        "| wgrad ÷ it | peak MiB |",
        f"| --- | --- | --- |{' ---: |' * 7}",
    ]
    for case in [c for c in [*SPEED, "product"] if c in cases]:
        for name, row in cases[case]["summary"].items():
            if "failed" in row:
                lines.append(f"| {case} | {name} | | {row['failed']} | | | | | | |")
                continue
            low, high = row["quartiles"]
            speed = f"{row['samples_per_second']:,.0f} | {low:,.0f} … {high:,.0f}"
            batch = cases[case]["run"].get("batch")
            speed += f" | {row['samples_per_second'] / batch:,.1f}" if batch else " | "
            speed = " | | " if case == "product" else speed
            launches = row.get("dispatches_per_step")
            speed += f" | {launches:,.1f}" if launches else " | "
            ratio = f"{row['wgrad_ratio']:.2f}" if "wgrad_ratio" in row else ""
            peak = f"{row['peak_mib']:,.0f}" if "peak_mib" in row else ""
            lines.append(
                f"| {case} | {name} | {row['version']} | {speed} | {row['gflops']:,.0f} "
                f"| {ratio} | {peak} |"
            )
    if "cold" in cases:
        lines += ["", "| cold | version | seconds | quartiles | epochs | it ÷ wgrad |"]
        lines.append("| --- | --- | ---: | ---: | ---: | ---: |")
        for name, row in cases["cold"]["summary"].items():
            if "failed" in row:
                lines.append(f"| {name} | | {row['failed']} | | | |")
                continue
            low, high = row["quartiles"]
            ratio = f"{row['wgrad_ratio']:.2f}" if "wgrad_ratio" in row else ""
            lines.append(
                f"| {name} | {row['version']} | {row['seconds']:.2f} | {low:.2f} … {high:.2f} "
                f"| {row['epochs']:.0f} | {ratio} |"
            )
    if found["goals"]:
        lines += ["", "| goal | asked | reached | |", "| --- | --- | --- | --- |"]
    for g in found["goals"]:
        met = "met" if g["met"] else "missed"
        lines.append(f"| {g['goal']} | {g['asked']} | {g['reached']} | {met} |")
    lines += ["", "Made by:", ""]
    made = {}
    for case in [c for c in CASES if c in cases]:
        run = cases[case]["run"]
        others = [r.get("others", 0) for r in cases[case]["summary"].values()]
        worst = f", others had up to {max(others):.0%} of the processors" if max(others) else ""
        commit = f", commit {run['commit']}" if run["commit"] else ""
        note = (
            f"{case} {run['date']}{commit}, {run['threads']} threads, load {run['load']:.1f}{worst}"
        )
        made.setdefault(run["command"], []).append(note)
    for command, notes in made.items():
        lines += [f"    {command}", "", *[f"- {note}" for note in notes], ""]
    return "\n".join(lines)
