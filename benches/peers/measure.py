"""Processes that are measured: started, asked, timed, and told from others on the same machine."""

import json
import os
import select
import subprocess
import tempfile
import time
from pathlib import Path

CLOCK = os.sysconf("SC_CLK_TCK")
THREADS = "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS RAYON_NUM_THREADS".split()
# glibc gives memory back to the system at every step otherwise, which costs PyTorch a fifth.
KEEP = {f"MALLOC_{which}_THRESHOLD_": "100000000000" for which in ("TRIM", "MMAP")}
# More of all processors than this in the hands of others, and a measurement is made again.
DISTURBED = 0.06


class Process:
    """A contender at work; what it says line by line, and what it took."""

    # By `time.perf_counter`: nobody is waited for any longer.
    deadline = float("inf")

    def __init__(self, command, args, keep_memory=True, directory=None):
        threads = {k: str(args.threads) for k in THREADS} if args.device == "cpu" else {}
        environment = {**os.environ, **threads, **(KEEP if keep_memory else {})}
        self.errors = tempfile.TemporaryFile("w+")
        self.start = time.perf_counter()
        pipe = subprocess.PIPE
        self.child = subprocess.Popen(
            list(map(str, command)),
            stdin=pipe,
            stdout=pipe,
            stderr=self.errors,
            env=environment,
            cwd=directory,
        )
        self.rest = b""

    def line(self, seconds):
        """The next line, or None at the end; TimeoutError when it takes too long."""
        end = time.perf_counter() + seconds
        while b"\n" not in self.rest:
            left = max(0, min(end, Process.deadline) - time.perf_counter())
            if not select.select([self.child.stdout], [], [], left)[0]:
                is_over = time.perf_counter() >= Process.deadline
                raise TimeoutError(
                    "the time is over" if is_over else f"no answer in {seconds:.0f} s"
                )
            more = os.read(self.child.stdout.fileno(), 1 << 16)
            if not more:
                return None
            self.rest += more
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def json(self, seconds):
        """The next line that is an object; RuntimeError with the reason when there is none."""
        line = self.line(seconds)
        while line is not None and not line.startswith("{"):
            line = self.line(seconds)
        if line is None:
            raise RuntimeError(self.reason())
        return json.loads(line)

    def until_ready(self, seconds):
        end = time.perf_counter() + seconds
        line = ""
        while line != "ready":
            line = self.line(max(0, end - time.perf_counter()))
            if line is None:
                raise RuntimeError(self.reason())

    def reason(self):
        """The last thing that it said of itself."""
        self.end()
        self.errors.seek(0)
        said = [s.strip()[:160] for s in self.errors.read().splitlines() if s.strip()]
        if os.WIFSIGNALED(self.status):
            return f"it crashed: signal {os.WTERMSIG(self.status)}"
        return said[-1] if said else f"exit code {os.WEXITSTATUS(self.status)}"

    def ask(self, seconds, what=""):
        """What it answers to a line."""
        if self.child.returncode is not None:
            raise RuntimeError("it has ended")
        self.child.stdin.write(f"{what}\n".encode())
        self.child.stdin.flush()
        return self.json(seconds)

    def peak_mib(self):
        """Its largest resident set so far."""
        status = Path(f"/proc/{self.child.pid}/status")
        lines = status.read_text().splitlines() if status.exists() else []
        peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
        return round(peaks[0] / 1024) if peaks else None

    def end(self, kill=False):
        """Ends it; peak resident MiB."""
        if self.child.returncode is None:
            self.child.kill() if kill else self.child.stdin.close()
            _, self.status, used = os.wait4(self.child.pid, 0)
            self.child.returncode, self.used = self.status, used.ru_maxrss / 1024
        return self.used


def ticks(pid):
    """Clock ticks of work: of the whole machine, what its host took away included, and of `pid`."""
    if not Path("/proc/stat").exists():
        return 0, 0
    user, nice, system, _, _, *more = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, [user, nice, system, *more])), int(fields[11]) + int(fields[12])


def undisturbed(process, measure):
    """`measure()`, repeated up to twice while others had the processors; with their part as `others`."""
    best = None
    for _ in range(3):
        before, start = ticks(process.child.pid), time.perf_counter()
        result = measure()
        all_of_them, own = (b - a for a, b in zip(before, ticks(process.child.pid)))
        available = CLOCK * (time.perf_counter() - start) * os.cpu_count()
        result["others"] = round(max(0.0, (all_of_them - own) / available), 3)
        if best is None or result["others"] < best["others"]:
            best = result
        if best["others"] < DISTURBED:
            break
    return best


class Held:
    """While it is entered, `command cat` runs: a lock of a machine that several people use."""

    def __init__(self, command):
        self.command = command.split() if command else None

    def __enter__(self):
        if self.command:
            pipe = subprocess.PIPE
            self.child = subprocess.Popen([*self.command, "cat"], stdin=pipe, stdout=pipe)
            self.child.stdin.write(b"\n")
            self.child.stdin.flush()
            self.child.stdout.readline()

    def __exit__(self, *_):
        if self.command:
            self.child.stdin.close()
            self.child.wait()
