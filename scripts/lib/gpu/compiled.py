"""Compiles side by side, on all cores, what the other parts will ask for, so that none of them waits for a compiler.

First our sources, as a run compiles them. Then a few steps of each net and of some workloads of the benchmark: those
compile what CuPy makes itself (its elementwise kernels and reductions, by the types and shapes that are met), and read
libraries from disk, PyTorch among them. CuPy keeps all of it on disk.
"""

import json
import os
import tempfile
from pathlib import Path

from processes import cores, python, side_by_side

from gpu.nets import changed, nets
from gpu.part import ROOT, Outcome, Task, judged, no_gpu

STEPS = 3
"""Two eager ones, and one that is captured."""
COMPILE = "import sys; from dlcourse.backend.cuda.program import program; program(sys.argv[1]).load()"
BENCH = ROOT / "scripts" / "lib" / "bench" / "gpu.py"


def check(task: Task) -> Outcome:
    """Its arguments are the benchmark's workloads."""
    if not task.gpu:
        return no_gpu()
    names = sorted(path.stem for path in (ROOT / "dlcourse" / "backend" / "cuda" / "sources").glob("*.cu"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "DLCOURSE_BENCH_BLOCK": "1"}
    options = {"width": cores(), "until": task.until, "cwd": ROOT, "env": environment}
    failed = side_by_side({name: python("-c", COMPILE, name) for name in names}, **options)
    failures = [f"{name}.cu: {why}" for name, why in failed.items()]
    task.note(judged(failures, [], f"{len(names) - len(failed)} of {len(names)} sources"))
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            f"{name} in {precision}": python("-m", "gpu.training", json.dumps(
                {"config": changed(config, precision, steps=STEPS), "device": "cuda"}
            ))
            for name, config in nets(Path(folder)).items()
            for precision in ("float32", "float64")
        }  # fmt: skip
        commands |= {f"bench {name}": python(str(BENCH), "ours", "float32", "0", name) for name in task.arguments}
        commands["PyTorch"] = python("-c", "import torch; torch.zeros(1, device='cuda')")
        unwarmed = side_by_side(commands, **options)
    detail = f"{len(names) - len(failed)} of {len(names)} sources"
    if unwarmed:  # the parts that need it will say more
        print(*(f"{name}: {why}" for name, why in unwarmed.items()), sep="\n")
        detail += f"; {len(unwarmed)} of {len(commands)} programs did not run"
    return judged(failures, [], detail, unwarmed=unwarmed)
