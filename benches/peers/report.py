"""Medians, ratios and goals from the results of `run`, as JSON and as a table."""

import json
import os
import platform
import statistics
import subprocess
from pathlib import Path

WIDTHS = {
    "S64": (784, 128, 10),
    "S128": (784, 128, 10),
    "M": (784, 1024, 1024, 10),
    "T": (32, 64, 64, 64, 64, 16),
    "H": (13, 512, 256, 384, 1),
    "L": (4096, 4096, 4096, 4096),
}
THREADS = "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS RAYON_NUM_THREADS".split()
# Times the samples per second of the fastest peer.
SPEED = {
    "cpu": {"T": 2.0, "S64": 1.5, "S128": 1.5, "H": 1.3, "M": 1.15, "L": 1.05},
    "gpu": {"T": 1.3, "S64": 2.0, "S128": 2.0, "H": 1.3, "M": 1.0, "L": 0.9},
}
L_BATCH = 512
# Parameters, gradients (SGD has no state) and one batch's activations, inputs included, in MiB.
L_NEED = 4 * (2 * 3 * (4096**2 + 4096) + L_BATCH * 4 * 4096) / 2**20


def flops(case):
    """6P − 2·n_0·n_1 for each row; a product counts what it does itself."""
    weights = [a * b for a, b in zip(WIDTHS[case], WIDTHS[case][1:])] if case in WIDTHS else []
    return 6 * sum(weights) - 2 * weights[0] if weights else 1


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def machine(binary):
    cpu = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    memory = Path("/proc/meminfo").read_text() if cpu else ""
    facts = dict(
        [part.strip() for part in line.split(":", 1)] for line in cpu.splitlines() if ":" in line
    )
    found = {
        "processor": facts.get("model name", platform.processor()),
        "family_model": f"{facts.get('cpu family')}/{facts.get('model')}",
        "avx512": "avx512f" in facts.get("flags", ""),
        "processors": os.cpu_count(),
        "memory_gib": round(int(memory.split()[1]) / 2**20, 1) if memory else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "wgrad": output(binary, "--version"),
    }
    smi = output("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    if smi:
        found["gpu"], found["driver"] = smi.splitlines()[0].split(", ")
    try:
        adapters = json.loads(output(binary, "devices", "--json"))["adapters"]
        found["adapters"] = [{k: a[k] for k in ("name", "driver", "backend")} for a in adapters]
    except (ValueError, KeyError):
        pass
    return found


def good(runs, key):
    return [r[key] for r in runs if "failed" not in r and key in r]


def median(values):
    return statistics.median(values) if values else None


def summary(case, runs):
    """For each contender the median, the ratio of wgrad to it, and what else the table shows."""
    key = "seconds" if case == "cold" else "samples_per_second"
    rows = {}
    for name, results in runs.items():
        failed = [r["failed"] for r in results if "failed" in r]
        row = rows[name] = {key: median(good(results, key)), "rounds": len(good(results, key))}
        if failed:
            row["failed"] = failed[0]
        if row[key] is None:
            continue
        pairs = [
            (a[key], b[key])
            for a, b in zip(runs.get("wgrad", []), results)
            if key in a and key in b
        ]
        if case == "cold":
            row["wgrad_sooner"] = median([b / a for a, b in pairs])
            row["epochs"] = median(good(results, "epochs") or good(results, "epoch"))
        else:
            row["wgrad_ratio"] = median([a / b for a, b in pairs])
            row["gflops"] = row[key] * flops(case) / 1e9
        others = [r.get("others", 0) for r in results]
        row |= {"spread": [min(good(results, key)), max(good(results, key))]}
        row |= {"others": max(others), "peak_rss_mib": median(good(results, "peak_rss_mib"))}
        row["version"] = next((r["version"] for r in results if "version" in r), "")
    return rows


def judge(results):
    """The goals, each with what was reached."""
    device, tables, found = results["device"], results["summary"], []

    def goal(name, asked, reached, met):
        found.append({"goal": name, "asked": asked, "reached": reached, "met": bool(met)})

    for case, least in SPEED[device].items():
        rows = tables.get(case, {})
        speeds = {k: v["samples_per_second"] for k, v in rows.items() if v["samples_per_second"]}
        if speeds.get("wgrad") and len(speeds) > 1:
            fastest = max((k for k in speeds if k != "wgrad"), key=speeds.get)
            ratio = rows[fastest]["wgrad_ratio"]
            goal(f"{case}, against {fastest}", f"≥ {least:g} ×", f"{ratio:.2f} ×", ratio >= least)
    products = [v["gflops"] for v in tables.get("matmul", {}).values() if "gflops" in v]
    for case in ["M", "L"] if device == "cpu" else []:
        runs = results["cases"].get(case, {}).get("wgrad", [])
        ceilings = good(runs, "ceiling_gflops")
        if ceilings:
            ceiling = max([median(ceilings), *products])
            share = tables[case]["wgrad"]["gflops"] / ceiling
            goal(f"{case}, of {ceiling:.0f} GFLOP/s", "≥ 85%", f"{share:.0%}", share >= 0.85)
    cold = {k: v for k, v in tables.get("cold", {}).items() if v["seconds"]}
    if "wgrad" in cold and len(cold) > 1 and device == "cpu":
        soonest = min((k for k in cold if k != "wgrad"), key=lambda k: cold[k]["seconds"])
        ratio = cold[soonest]["wgrad_sooner"]
        goal(f"cold, against {soonest}", "≥ 2.5 × sooner", f"{ratio:.2f} ×", ratio >= 2.5)
    if "footprint" in results:
        memory, start = (results["footprint"][k] for k in ("train_S_rss_mib", "start_seconds"))
        goal("memory of S, `train mnist`", "≤ 150 MiB", f"{memory:.0f} MiB", memory <= 150)
        goal("first step", "≤ 100 ms", f"{start * 1000:.0f} ms", start <= 0.1)
        memory = tables.get("L", {}).get("wgrad", {}).get("peak_rss_mib")
        if memory:
            goal(
                "memory of L",
                f"≤ {1.5 * L_NEED:.0f} MiB",
                f"{memory:.0f} MiB",
                memory <= 1.5 * L_NEED,
            )
    return found


def table(results):
    m = results["machine"]
    gpu = f"; {m['gpu']}, driver {m['driver']}" if "gpu" in m else ""
    loads = " → ".join(f"{m[k][0]:.1f}" for k in ("load_before", "load_after") if k in m)
    lines = [
        f"{results['date']}, {m['processor']} (family/model {m['family_model']}), "
        f"{m['processors']} processors, {m['memory_gib']} GiB, {m['system']}{gpu}; {m['wgrad']}; "
        f"device {results['device']}, {m['threads']} threads; load {loads}; "
        f"{results['seconds'] / 60:.0f} minutes",
        "",
        f"    {results['command']}",
    ]
    speed = (
        "| contender | version | samples/s | least … most | GFLOP/s | wgrad ÷ it | MiB | others |"
    )
    cold = "| contender | version | seconds | least … most | epochs | it ÷ wgrad | | others |"
    for case, rows in results["summary"].items():
        head = cold if case == "cold" else speed
        lines += ["", f"**{case}**", "", head, "| --- | --- |" + " ---: |" * 6]
        for name, row in rows.items():
            if "others" not in row:
                lines.append(f"| {name} | | {row['failed']} | | | | | |")
                continue
            least, most = row["spread"]
            memory = f"{row['peak_rss_mib']:,.0f}" if row["peak_rss_mib"] else ""
            if case == "cold":
                ratio, n = row["wgrad_sooner"], f"{row['epochs']:.0f}" if row["epochs"] else ""
                figures = f"{row['seconds']:.2f} | {least:.2f} … {most:.2f} | {n}"
                memory = ""
            elif case == "matmul":
                ratio, figures = (
                    None,
                    f"| {least / 1e9:,.0f} … {most / 1e9:,.0f} | {row['gflops']:,.0f}",
                )
            else:
                ratio = row["wgrad_ratio"]
                figures = f"{row['samples_per_second']:,.0f} | {least:,.0f} … {most:,.0f}"
                figures += f" | {row['gflops']:,.0f}"
            ratio = f"{ratio:.2f}" if ratio and name != "wgrad" else ""
            note = f" ({row['failed']})" if "failed" in row else ""
            lines.append(
                f"| {name}{note} | {row['version']} | {figures} | {ratio} | {memory} | {row['others']:.0%} |"
            )
    if results["goals"]:
        lines += ["", "| goal | asked | reached | |", "| --- | --- | --- | --- |"]
    for g in results["goals"]:
        met = "met" if g["met"] else "missed"
        lines.append(f"| {g['goal']} | {g['asked']} | {g['reached']} | {met} |")
    return "\n".join(lines) + "\n"


def write(results, out):
    """The table; with `out`, OUT.md and OUT.json hold it and everything else."""
    results["summary"] = {case: summary(case, runs) for case, runs in results["cases"].items()}
    results["goals"] = judge(results)
    text = table(results)
    if out:
        Path(f"{out}.md").write_text(text)
        Path(f"{out}.json").write_text(json.dumps(results, indent=1) + "\n")
    return text
