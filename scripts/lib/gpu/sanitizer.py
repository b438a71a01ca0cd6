"""The kernels' tests under NVIDIA's compute-sanitizer: races in shared memory, wrong addresses, barriers out of step.

It slows kernels down ten to a hundred times, so only those whose threads work together are looked at, in float32, and
its tools run side by side. It is part of the CUDA toolkit, which the package does not need.
"""

import contextlib
import glob
import os
import re
import shutil
import site
import tempfile
import time
from collections import Counter
from pathlib import Path

from processes import ending, python, started, with_path

from gpu.overrides import TESTS
from gpu.part import ROOT, Outcome, Task, judged, no_gpu

TOOLS = ("racecheck", "memcheck", "synccheck")
CHOSEN = "override_computes and float32 and (norm or conv or cross_entropy or pool or attention)"
FOUND = 86
"""The exit code that compute-sanitizer ends with where it finds something."""

# "ERROR SUMMARY: 2 errors", "RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)"; "at layer_norm_float+0x130"
_SUMMARY = re.compile(r"=+ (?:ERROR|RACECHECK) SUMMARY: (\d+) ")
_KERNEL = re.compile(r"\bat (?:0x[0-9a-f]+ in )?(\w+)[^+\n]*\+0x[0-9a-f]+")


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    program = find()
    if program is None:
        return {"status": "skipped", "detail": "compute-sanitizer is not on PATH, nor in CUDA's or pip's folders"}
    failures, late, excerpts = [], [], []
    tests = python("-m", "pytest", "-q", "-p", "gpu.bare_allocator", "-p", "no:cacheprovider", "--device=cuda")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        logs = {tool: Path(folder) / f"{tool}.log" for tool in TOOLS}
        # Nothing is timed, nor captured for it, and the library's kernels are not ours.
        environment = {**with_path(), "DLCOURSE_CUDNN": "0", "DLCOURSE_DETERMINISTIC": "1"}
        running = {}
        for tool, log in logs.items():
            options = ["--tool", tool, "--log-file", str(log), "--error-exitcode", str(FOUND), "--print-limit", "50"]
            options += ["--report-api-errors", "no"]  # CuPy asks for what may fail, and handles it
            out = stack.enter_context(open(log.with_suffix(".out"), "w"))
            command = [program, *options, *tests, TESTS, "-k", CHOSEN]
            running[tool] = stack.enter_context(started(command, cwd=ROOT, env=environment, stdout=out, stderr=out))
        while any(process.poll() is None for process in running.values()) and time.monotonic() < task.until:
            time.sleep(0.1)
        for tool, process in running.items():
            code, log = process.poll(), read(logs[tool])
            problem = verdict(code, log, read(logs[tool].with_suffix(".out")))
            print(f"{tool}: {problem or ('not done' if code is None else 'clean')}", flush=True)
            if problem:
                failures.append(f"{tool}: {problem}")
            elif code is None:
                late.append(tool)
            excerpts.append(log[-3000:] if problem else "")
    detail = f"{len(TOOLS) - len(failures) - len(late)} of {len(TOOLS)} tools found nothing"
    return judged(failures, late, detail, logs=dict(zip(TOOLS, excerpts, strict=True)), program=program)


def find() -> str | None:
    """The program: on PATH, in the toolkit's folders, or in a package of NVIDIA's."""
    folders = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/opt/cuda", *glob.glob("/usr/local/cuda*")]
    places = [f"{folder}/{below}" for folder in filter(None, folders) for below in ("bin", "compute-sanitizer")]
    packages = [*site.getsitepackages(), site.getusersitepackages()]
    for each in packages:
        places += map(os.path.dirname, glob.glob(f"{each}/nvidia/**/compute-sanitizer", recursive=True))
    return shutil.which("compute-sanitizer", path=os.pathsep.join([os.environ.get("PATH", ""), *places]))


def verdict(code: int | None, log: str, out: str) -> str | None:
    """What a tool found, or why it could not look; None where it found nothing, or is still running.

    Args:
        code: the exit code, None while it runs.
        log: the output of the tool.
        out: the output of pytest.
    """
    kernels = Counter(_KERNEL.findall(log))
    summary = _SUMMARY.search(log)
    if kernels or (summary and int(summary[1])):
        count = f"{summary[1]} reports" if summary else "reports"
        return f"{count} in {', '.join(name for name, _ in kernels.most_common()) or 'no kernel of known name'}"
    if code in (None, 0):
        return None
    last = [line for line in out.splitlines() if line.strip()]
    return f"{ending(code)}: {last[-1] if last else log.strip()[-200:]}"


def read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
