"""Everything that only a GPU can show, in parts of their own processes, so that one failing part hides no other.

    packages   what is installed here, and what the package needs but is not
    devices    `dlcourse devices`: driver, CuPy, NVRTC, cuBLAS, one kernel, one GEMM
    tests      the whole suite, `pytest --device cuda` (on the CPU where there is no GPU)
    bench      ours, PyTorch eager, compiled and in a CUDA graph: the table of `scripts/bench --device cuda`
    parity     one step of each config on the CPU and on the GPU: the same metrics

The summary comes last and goes to a JSON file as well. Needs no installation of the package itself.
"""

import argparse
import importlib.metadata
import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Float32 sums come in another order, and an ill-conditioned fit widens the difference.
RELATIVE, ABSOLUTE = 2e-3, 1e-4

Outcome = dict[str, object]
"""``status`` (passed, failed or skipped), ``detail`` in one line, and whatever else belongs into the JSON file."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/gpu_check", description="Check everything on this machine's GPU.")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"), help="where the results go")
    parser.add_argument("--only", choices=PARTS, action="append", help="only this part (may be given several times)")
    parser.add_argument("--budget", type=float, default=540.0, help="seconds for all parts (default %(default)s)")
    parser.add_argument("pytest_arguments", nargs="*", metavar="-- pytest arguments", help="for the part `tests`")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    sys.path.insert(0, str(ROOT))

    parts: dict[str, Outcome] = {}
    gpu, ends = has_gpu(), time.monotonic() + args.budget
    summary = {"gpu": gpu, "python": sys.executable, "platform": platform.platform(), "parts": parts}
    for name, part in PARTS.items():
        if args.only and name not in args.only:
            continue
        print(f"=== {name}", flush=True)
        started = time.monotonic()
        args.timeout = max(1.0, ends - started)  # of whatever a part starts
        try:
            outcome = part(gpu, args)
        except subprocess.TimeoutExpired:
            outcome = {"status": "failed", "detail": f"not done when the {args.budget:.0f} s of --budget were over"}
        except Exception as error:  # a part that breaks must not take the others with it
            outcome = {"status": "failed", "detail": f"{type(error).__name__}: {error}"}
        parts[name] = outcome | {"seconds": round(time.monotonic() - started, 1)}
        args.json.write_text(json.dumps(summary, indent=2))  # what is known so far survives whatever comes

    failed = [name for name, outcome in parts.items() if outcome["status"] == "failed"]
    print("=== summary")
    for name, outcome in parts.items():
        print(f"{name:<9} {outcome['status']:<8} {outcome['seconds']:7.1f} s  {outcome['detail']}")
    print(f"written to {args.json}")
    if not gpu:
        print("no usable GPU: nothing above ran on one")
        return 3
    print(f"failed: {', '.join(failed)}" if failed else "all well")
    return 1 if failed else 0


def has_gpu() -> bool:
    """In a process of its own: a broken driver may end it."""
    code = "import sys; from dlcourse.backend import probe; sys.exit(not probe.cuda_status().usable)"
    try:
        return run([sys.executable, "-c", code], 120, quiet=True).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def check_packages(gpu: bool, args: argparse.Namespace) -> Outcome:
    """Versions of what the package needs; what is missing will make tests fail for no fault of the GPU."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [re.match(r"[\w.-]+", requirement)[0] for requirement in project["dependencies"]]
    versions = {}
    for name in [*needed, "pytest", "hypothesis", "cupy-cuda12x", "cupy-cuda13x", "torch"]:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    print("  ".join(f"{name} {version}" for name, version in versions.items() if version))
    missing = [name for name in needed if versions[name] is None]
    if missing:
        return {"status": "failed", "detail": f"not installed: {', '.join(missing)}", "versions": versions}
    return {"status": "passed", "detail": f"Python {platform.python_version()}, all there", "versions": versions}


def check_devices(gpu: bool, args: argparse.Namespace) -> Outcome:
    """What `dlcourse devices` finds, and which of its steps failed."""
    code = "import dataclasses, json; from dlcourse.backend import inspection as i; "
    code += "print(json.dumps(dataclasses.asdict(i.inspect())))"
    done = run([sys.executable, "-c", code], args.timeout, quiet=True)
    if done.returncode:
        return {"status": "failed", "detail": last_line(done.stderr)}
    report = json.loads(done.stdout)
    for check in report["cpu"] + report["cuda"]:
        print(f"{check['name']:<13} {check['state']:<9} {check['detail']}")
    failed = [check["name"] for check in report["cuda"] if check["state"] == "failed"]
    detail = f"failed: {', '.join(failed)}" if failed else f"auto chooses {report['auto']}: {report['why']}"
    return {"status": "failed" if failed else "passed", "detail": detail, "report": report}


def check_tests(gpu: bool, args: argparse.Namespace) -> Outcome:
    """The suite, with the device fixture on the GPU; counts and failures from pytest's own XML."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        options = ["-q", f"--device={'cuda' if gpu else 'cpu'}", f"--junitxml={results}"]
        run([sys.executable, "-m", "pytest", *options, *args.pytest_arguments], args.timeout)
        if not results.exists():
            return {"status": "failed", "detail": "pytest ended without results"}
        cases = xml.etree.ElementTree.parse(results).findall(".//testcase")
    outcomes = [({child.tag for child in case}, f"{case.get('classname')}.{case.get('name')}") for case in cases]
    failures = [name for tags, name in outcomes if tags & {"failure", "error"}]
    on_gpu = sum("cuda" in name.rpartition("[")[2] for tags, name in outcomes if "skipped" not in tags)
    skipped = sum("skipped" in tags for tags, _ in outcomes)
    passed = len(cases) - skipped - len(failures)
    detail = f"{passed} passed, {len(failures)} failed, {skipped} skipped; {on_gpu} ran on the GPU"
    well = passed and not failures and (on_gpu or not gpu)
    return {"status": "passed" if well else "failed", "detail": detail, "failures": failures}


def check_parity(gpu: bool, args: argparse.Namespace) -> Outcome:
    """One step of every config on both devices; a config whose files are not here is left out."""
    if not gpu:
        return {"status": "skipped", "detail": "no GPU"}
    differences, left_out, worst = {}, {}, 0.0
    configs = sorted((ROOT / "configs").rglob("*.yaml"))
    for config in configs:
        name = str(config.relative_to(ROOT))
        try:
            expected = one_step(config, "cpu", args.timeout)
            got = one_step(config, "cuda", args.timeout)
        except LeftOut as reason:
            left_out[name] = str(reason)
        except RuntimeError as error:
            differences[name] = str(error)
        else:
            pairs = {key: (expected.get(key, math.nan), got.get(key, math.nan)) for key in expected | got}
            off = [f"{key}: CPU {a:g}, GPU {b:g}" for key, (a, b) in pairs.items() if not close(a, b)]
            if off:
                differences[name] = "; ".join(off)
            worst = max([worst, *(relative(*pair) for pair in pairs.values())])
        print(f"{name}: {differences.get(name) or left_out.get(name) or 'the same'}", flush=True)
    compared = len(configs) - len(left_out)
    same = f"{compared - len(differences)} of {compared} configs the same, furthest off {worst:.1e}"
    status = "failed" if differences or not compared else "passed"
    detail = f"{same}, {len(left_out)} left out"
    return {"status": status, "detail": detail, "differences": differences, "left_out": left_out}


def check_bench(gpu: bool, args: argparse.Namespace) -> Outcome:
    """The workloads beside PyTorch's, two short rounds."""
    if not gpu:
        return {"status": "skipped", "detail": "no GPU"}
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder) / "bench.json"
        command = [sys.executable, str(ROOT / "scripts" / "lib" / "bench"), "--device", "cuda"]
        done = run([*command, "--rounds", "2", "--seconds", "1", "--json", str(numbers)], args.timeout)
        if not numbers.exists():
            return {"status": "failed", "detail": f"no table, exit code {done.returncode}"}
        rows = json.loads(numbers.read_text())["rows"]
    differ = [row["name"] for row in rows if not row["agree"]]
    detail = f"losses differ: {', '.join(differ)}" if differ else f"{len(rows)} workloads, equal losses"
    return {"status": "failed" if differ else "passed", "detail": detail, "rows": rows}


class LeftOut(Exception):
    """A config that this machine has not the files for."""


# The config without its sweep, one step, one batch of each split; prints the metrics.
ONE_STEP = """
import json, sys
import dlcourse
from dlcourse.config import resolve
from dlcourse.errors import DlcourseError
try:
    config = resolve(sys.argv[1], {"sweep": None})
    result = dlcourse.run(config, device=sys.argv[2], quiet=True, plots=False, fast_dev_run=True)
except DlcourseError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
print(json.dumps(result.metrics))
"""


def one_step(config: Path, device: str, timeout: float) -> dict[str, float]:
    """The metrics after one step on a device as ``{"val.mse": value}``.

    Raises:
        LeftOut: a file that the config names is not here.
        RuntimeError: anything else went wrong.
    """
    done = run([sys.executable, "-c", ONE_STEP, str(config), device], timeout, quiet=True)
    if done.returncode == 2 and device == "cpu":
        raise LeftOut(f"left out: {last_line(done.stderr)}")
    if done.returncode:
        raise RuntimeError(f"on {device}: {last_line(done.stderr) or f'exit code {done.returncode}'}")
    metrics = json.loads(last_line(done.stdout))
    return {f"{split}.{name}": value for split, values in metrics.items() for name, value in values.items()}


def relative(expected: float, got: float) -> float:
    return abs(expected - got) / max(abs(expected), abs(got), ABSOLUTE)


def close(expected: float, got: float) -> bool:
    return math.isclose(expected, got, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or (math.isnan(expected) and math.isnan(got))


def run(command: list[str], timeout: float, quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """A command in a group of its own: past its time it is ended with all that it started, or that would go on beside
    the later parts.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    pipe = subprocess.PIPE if quiet else None
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


PARTS: dict[str, Callable[[bool, argparse.Namespace], Outcome]] = {
    "packages": check_packages,
    "devices": check_devices,
    "tests": check_tests,
    "bench": check_bench,
    "parity": check_parity,
}

if __name__ == "__main__":
    sys.exit(main())
