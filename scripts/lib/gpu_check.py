"""Everything that only a GPU can show, in parts of their own processes, so that one failing part hides no other.

    packages       what is installed here, and what the package needs but is not
    devices        `dlcourse devices`: driver, CuPy, NVRTC, cuBLAS, one kernel, one GEMM
    overrides      every kernel against its reference at odd shapes
    captured       steps captured in a CUDA graph against eager steps: the same weights, bit for bit
    parity         100 steps on the CPU and on the GPU, step by step, in float32 and in float64
    deterministic  the same run twice, bit for bit
    configs        one step of each config on the CPU and on the GPU: the same metrics
    profile        where the time of a step goes: `dlcourse run --profile`
    sanitizer      the kernels' tests under compute-sanitizer: races, addresses, barriers
    precision      float32, TF32, fp16 and bf16: how well a net learns, and how fast
    bench          ours, PyTorch eager, in a CUDA graph, and compiled: `scripts/bench --device cuda`
    tests          the whole suite, `pytest --device cuda`, in what is left of the time

What is short comes first, and each part has a limit of its own; the benchmark leaves the suite some time. Where there
is no GPU, what a CPU can run is run there. The summary and the tables come last, and go to a JSON file, which is
written after each part.

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
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from gpu.packages import missing  # noqa: E402
from processes import ending, python, run, started  # noqa: E402

GRACE = 8.0
"""Seconds beyond its limit that a part has to say what it has found, before it is ended."""
MAX_LINES = 12
"""Of a part's failures in the summary; the file has all."""


@dataclass(frozen=True)
class Part:
    """A module with ``check(task)``, see ``gpu/part.py``; the seconds that it may take, and those kept for it."""

    module: str
    limit: float
    kept: float = 0.0


PARTS = {
    "packages": Part("gpu.packages", 10),
    "devices": Part("gpu.devices", 30),
    "overrides": Part("gpu.overrides", 60),
    "captured": Part("gpu.captured", 45),
    "parity": Part("gpu.parity", 45),
    "deterministic": Part("gpu.deterministic", 40),
    "configs": Part("gpu.configs", 30),
    "profile": Part("gpu.profile", 15),
    "sanitizer": Part("gpu.sanitizer", 45),
    "precision": Part("gpu.precision", 30),
    "bench": Part("gpu.bench", 220),
    "tests": Part("gpu.tests", 600, kept=90),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description="Check everything on this machine's GPU.")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"), help="where the results go")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part (may be given several times)")
    parser.add_argument("--budget", type=float, default=540.0, help="seconds for all parts (default %(default)s)")
    parser.add_argument("pytest_arguments", nargs="*", metavar="-- pytest arguments", help="for the part `tests`")
    args = parser.parse_args()
    paths = [str(ROOT), str(HERE), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leaves blocks, which end what they began

    ends = time.monotonic() + args.budget
    if absent := missing():
        print(
            f"missing here: {', '.join(absent)}; most parts will fail. See the head of {Path(__file__).name}",
            flush=True,
        )
    gpu = has_gpu()
    parts: dict[str, dict[str, Any]] = {}
    summary = {"gpu": gpu, "python": sys.executable, "platform": platform.platform(), "parts": parts}
    chosen = {name: part for name, part in PARTS.items() if not args.only or name in args.only}
    for index, (name, part) in enumerate(chosen.items(), 1):
        print(f"=== {name}", flush=True)
        began = time.monotonic()
        kept = sum(later.kept for later in list(chosen.values())[index:])
        outcome = run_part(part, gpu, min(part.limit, ends - began - kept), args.pytest_arguments)
        parts[name] = outcome | {"seconds": round(time.monotonic() - began, 1)}
        args.json.write_text(json.dumps(summary, indent=2))  # what is known so far survives whatever comes
    return conclude(parts, gpu, args.json)


def has_gpu() -> bool:
    """In a process of its own: a broken driver may end it."""
    code = "import sys; from dlcourse.backend.diagnostics import probe; sys.exit(not probe.cuda_status().usable)"
    try:
        return run(python("-c", code), 60, quiet=True, cwd=ROOT).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def run_part(part: Part, gpu: bool, limit: float, arguments: list[str]) -> dict[str, Any]:
    """What came of a part, in a process of its own; what it had found where that process did not come to its end."""
    if limit <= 1:
        return {"status": "unfinished", "detail": "no time was left for it"}
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "outcome.json"
        device = "cuda" if gpu else "cpu"
        command = python("-m", "gpu.part", part.module, device, str(limit), str(found), *arguments)
        with started(command, cwd=ROOT) as process:
            try:
                code = process.wait(limit + GRACE)
                why = None if code == 0 and found.exists() else f"the part's process: {ending(code)}"
            except subprocess.TimeoutExpired:
                why = f"not done after its {limit:.0f} s"
            finally:
                ask_to_end(process)
        outcome = json.loads(found.read_text()) if found.exists() else {}
    if why is None:
        return outcome
    known = f"; until then: {outcome['detail']}" if outcome.get("detail") else ""
    return outcome | {"status": "failed", "detail": why + known}


def ask_to_end(process: subprocess.Popen) -> None:
    """Let a part end what it started, each of which is a group of its own, before it is ended itself."""
    process.terminate()  # nothing, where it has ended
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)


def conclude(parts: dict[str, dict[str, Any]], gpu: bool, path: Path) -> int:
    """Print the summary, then the tables, then the verdict; returns the exit code."""
    print("=== summary")
    for name, outcome in parts.items():
        print(f"{name:<13} {outcome['status']:<10} {outcome['seconds']:6.1f} s  {outcome['detail']}")
        failures = outcome.get("failures", [])
        for line in failures[:MAX_LINES]:
            print(f"    {line}")
        if len(failures) > MAX_LINES:
            print(f"    and {len(failures) - MAX_LINES} more")
    print(f"written to {path}")
    for name, outcome in parts.items():
        if outcome.get("table"):
            print(f"=== {name}", *outcome["table"], sep="\n")
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
