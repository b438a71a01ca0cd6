"""Everything that only a GPU can show, in parts of their own processes, so that one failing part hides no other.

    packages       what is installed here, and what the package needs but is not
    compiled       every program compiled, on all cores side by side, for the parts after it
    devices        `dlcourse devices`: driver, CuPy, NVRTC, cuBLAS, one kernel, one GEMM
    overrides      every kernel against its reference at odd shapes, without cuDNN
    captured       steps captured in a CUDA graph against eager steps: the same weights, bit for bit
    stacked        a step of 64 models as one stack, recorded, against 64 steps of one
    parity         100 steps on the GPU and on a CPU, step by step, in float32 and in float64
    bench-short    three workloads, ours beside PyTorch in a CUDA graph
    profile        where the time of a step goes: `dlcourse run --profile`
    bench          all workloads, ours beside PyTorch eager, in a CUDA graph, and compiled
    precision      float32, TF32, fp16 and bf16: how well a net learns, and how fast
    configs        one step of each config on the GPU and on a CPU: the same metrics
    deterministic  the same run twice, bit for bit
    cudnn          its convolutions against the references, within their own errors
    tests          all tests that use a device, `pytest --device cuda`
    sanitizer      the kernels' tests under compute-sanitizer: races, addresses, barriers

Where a GPU can be had for minutes, `--first` says in at most 230 s whether anything works, and `--second` the rest in
at most 420 s. A part may take its limit and what the parts before it have left of theirs. Each reports when it ends;
the results' file is written then, too, and `.part.json` beside it has what the running part has found so far. Where
there is no GPU, these two end at once; without them, what a CPU can run is run there.

What a CPU has to compute for `parity` and `configs` lies in gpu/reference.json; `--reference` computes it anew.

A machine without network needs the package's requirements taken along. What is missing is printed first; wheels of it:

    pip download --only-binary=:all: --python-version 3.12 --platform manylinux2014_x86_64 -d wheels --no-deps \\
        pydantic pydantic_core annotated-types typing_extensions typing-inspection
    python -m pip install --no-index --no-deps --target site wheels/*.whl && export PYTHONPATH=$PWD/site    # there
"""

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from gpu import configs, parity  # noqa: E402
from gpu.packages import missing  # noqa: E402
from gpu.part import Task  # noqa: E402
from processes import ending, last_line, python, run, started  # noqa: E402

GRACE = 8.0
"""Seconds beyond its limit that a part has to say what it has found, before it is ended, and then to end its own."""
START, LONGEST_START = 15.0, 45.0
"""Seconds for finding out whether there is a GPU, where CuPy is imported for the first time; and at the most, which the
parts after it have less of."""
MAX_LINES = 12
"""Of a part's failures that are printed; the file has all."""


@dataclass(frozen=True)
class Part:
    """A module with ``check(task)``, see ``gpu/part.py``.

    Attributes:
        planned: how long it should take on an H200 with 16 cores, in seconds: an estimate, printed beside what it took.
        limit: how long it may take.
        arguments: for the module.
    """

    module: str
    planned: float
    limit: float
    arguments: tuple[str, ...] = ()


SHORT = ("softmax", "mlp100", "gpt")
SHORT_BENCH = [*chain(*(("--only", name) for name in SHORT)), *"--side ours --side graph --precision float32".split()]
COMPILED = "--compile softmax --compile mlp --compile gpt".split()
"""Compiling takes PyTorch some 20 s for each: three workloads, not all."""

PARTS = {
    "packages": Part("gpu.packages", 1, 5),
    "compiled": Part("gpu.compiled", 25, 45, SHORT),
    "devices": Part("gpu.devices", 3, 10),
    "overrides": Part("gpu.overrides", 20, 45),
    "captured": Part("gpu.captured", 10, 25),
    "stacked": Part("gpu.stacked", 8, 12),
    "parity": Part("gpu.parity", 12, 25),
    "bench-short": Part("gpu.bench", 25, 40, tuple(SHORT_BENCH)),
    "profile": Part("gpu.profile", 6, 15),
    "bench": Part("gpu.bench", 110, 132, tuple(COMPILED)),
    "precision": Part("gpu.precision", 12, 25),
    "configs": Part("gpu.configs", 8, 20),
    "deterministic": Part("gpu.deterministic", 8, 20),
    "cudnn": Part("gpu.cudnn", 5, 10),
    "tests": Part("gpu.tests", 45, 50),
    "sanitizer": Part("gpu.sanitizer", 25, 30),
}
FIRST = ("packages", "compiled", "devices", "overrides", "captured", "parity", "bench-short")
SECOND = ("packages", "compiled", "captured", "stacked", *list(PARTS)[list(PARTS).index("profile") :])


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description="Check everything on this machine's GPU.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--first", action="store_true", help="whether it works at all, in less than 230 s")
    which.add_argument("--second", action="store_true", help="the rest, in less than 420 s")
    which.add_argument("--only", choices=PARTS, action="append", help="only this part (may be given several times)")
    which.add_argument("--reference", action="store_true", help="compute on this CPU what a GPU is compared with")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"), help="where the results go")
    parser.add_argument("--slower", type=float, default=1.0, help="multiply all limits, for a slower machine")
    parser.add_argument("pytest_arguments", nargs="*", metavar="-- pytest arguments", help="for the part `tests`")
    args = parser.parse_args()
    paths = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH")]
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "PYTHONUNBUFFERED": "1"}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves blocks, which end what they began
    if args.reference:
        return write_reference()

    due = time.monotonic() + START * args.slower
    absent = missing()
    if absent:
        print(f"missing here: {', '.join(absent)}. See the head of {Path(__file__)}", flush=True)
    short = args.first or args.second  # nothing may use up its time where nearly every part would fail
    if absent and short:
        return 1
    if why := without_gpu(LONGEST_START * args.slower):
        print(f"no usable GPU: {why}", flush=True)
        if short:
            return 3
    gpu = why is None
    parts: dict[str, dict[str, Any]] = {}
    summary = {"gpu": gpu, "python": sys.executable, "platform": platform.platform(), "parts": parts}
    others = [name for name in PARTS if name != "bench-short"]
    for name in FIRST if args.first else SECOND if args.second else args.only or others:
        part = PARTS[name]
        due += part.limit * args.slower
        print(f"=== {name}", flush=True)
        began = time.monotonic()
        outcome = run_part(part, gpu, due - began, args.json.with_suffix(".part.json"), args.pytest_arguments)
        parts[name] = outcome | {"seconds": round(time.monotonic() - began, 1), "planned": part.planned}
        args.json.write_text(json.dumps(summary, indent=2))  # what is known so far survives whatever comes
        report(name, parts[name])
    return conclude(parts, gpu, args.json)


def write_reference() -> int:
    task = Task(False, time.monotonic() + 3600, lambda found: None)
    for part in (parity, configs):
        if why := part.keep_reference(task):
            print(why)
            return 1
    return 0


def without_gpu(timeout: float) -> str | None:
    """Why there is no GPU, if so; in a process of its own: a broken driver may end it."""
    code = "from dlcourse.backend.diagnostics import probe; s = probe.cuda_status(); print(s.usable or s.reason)"
    try:
        done = run(python("-c", code), timeout, quiet=True, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return f"CuPy did not answer within {timeout:.0f} s"
    answer = last_line(done.stdout)
    return None if answer == "True" else answer or last_line(done.stderr) or ending(done.returncode)


def run_part(part: Part, gpu: bool, limit: float, found: Path, arguments: list[str]) -> dict[str, Any]:
    """What came of a part, in a process of its own; what it had found where that process did not come to its end.

    Args:
        found: where it keeps what it has found so far.
    """
    if limit <= 1:
        return {"status": "unfinished", "detail": "no time was left for it"}
    found.unlink(missing_ok=True)
    device = "cuda" if gpu else "cpu"
    command = python("-m", "gpu.part", part.module, device, str(limit), str(found.resolve()))
    with started([*command, *part.arguments, *arguments], cwd=ROOT) as process:
        try:
            code = process.wait(limit + GRACE)
            why = None if code == 0 and found.exists() else f"the part's process: {ending(code)}"
        except subprocess.TimeoutExpired:
            why = f"not done after its {limit:.0f} s"
        finally:
            ask_to_end(process)
    outcome = json.loads(found.read_text()) if found.exists() else {}
    found.unlink(missing_ok=True)
    if why is None:
        return outcome
    known = f"; until then: {outcome['detail']}" if outcome.get("detail") else ""
    return outcome | {"status": "failed", "detail": why + known}


def ask_to_end(process: subprocess.Popen) -> None:
    """Let a part end what it started, each of which is a group of its own, before it is ended itself."""
    process.terminate()  # nothing, where it has ended
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)


def report(name: str, outcome: dict[str, Any]) -> None:
    """What came of a part, as soon as it has ended."""
    failures = outcome.get("failures", [])
    lines = [f"    {each}" for each in failures[:MAX_LINES]]
    if len(failures) > MAX_LINES:
        lines.append(f"    and {len(failures) - MAX_LINES} more")
    print(line(name, outcome), *lines, *outcome.get("table", []), sep="\n", flush=True)


def line(name: str, outcome: dict[str, Any]) -> str:
    times = f"{outcome['seconds']:6.1f} s, planned {outcome['planned']:3.0f}"
    return f"{name:<13} {outcome['status']:<10} {times}  {outcome['detail']}"


def conclude(parts: dict[str, dict[str, Any]], gpu: bool, path: Path) -> int:
    """Print the summary, then the verdict; returns the exit code."""
    print("=== summary", *(line(name, outcome) for name, outcome in parts.items()), sep="\n")
    print(f"written to {path}")
    if not gpu:
        print("no usable GPU: nothing above ran on one")
        return 3
    verdict = [
        f"{status}: {', '.join(names)}"
        for status in ("failed", "unfinished", "skipped")
        if (names := [name for name, outcome in parts.items() if outcome["status"] == status])
    ]
    print("; ".join(verdict) or "all well")
    return 1 if any(outcome["status"] in ("failed", "unfinished") for outcome in parts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
