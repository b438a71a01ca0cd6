"""100 steps of each net on the GPU and on a CPU, loss by loss, with dropout and augmentation on. The CPU's losses come
from a file (``gpu/reference.py``).

Both draw the same bits for weights, order, augmentation and dropout, so the losses differ by rounding alone: sums come
in another order. A step rounds by a few units of u, 6e-8 in float32 and 1.1e-16 in float64, relative to the loss, and
where a loss is smooth that hardly grows in 100 of these steps. Where an input of a ReLU or a max pool lies within
rounding of the other side, one sample's gradient jumps, and from there on two nets of slightly different weights learn.

How large that is shows on a CPU alone, float32 against float64 on the same batches: up to step 10 at most 6e-7, in all
nets; up to step 100 below 4e-7 in softmax, mlp, lstm, gpt, lenet, airbench and the squeeze-and-excite resnet, but 8e-5
in the wide one and mobilenet, 1e-3 in googlenet, 2.5e-3 in the cnn and 7e-3 in the resnet, whose first jumps come at
step 17. Hence ``LIMITS``: 1e-4 up to step 10, 2e-2 up to step 100.

Float64 tells rounding from errors. Jumps are u / 6e-8 times as likely, practically never, so what is left is smooth
growth (softmax, mlp, cnn and lstm by the CUDA kernels run on the host were 1e-15 off at step 100). A wrong
gradient, a wrong mask or a batch out of order is as far off as in float32.
"""

import json
import tempfile
from pathlib import Path

from gpu import reference
from gpu.nets import Config, changed, nets, trained, trained_side_by_side
from gpu.part import Outcome, Task, judged, no_gpu

STEPS, EARLY = 100, 10
LIMITS = {"float32": (1e-4, 2e-2), "float64": (1e-12, 1e-9)}
"""By precision, the largest relative difference of a loss up to step ``EARLY``, and up to step ``STEPS``."""
SHOWN = 1, 10, 100


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    failures, late, table = [], [], [f"largest relative difference of the loss up to step {', '.join(map(str, SHOWN))}"]
    worst, done = dict.fromkeys(LIMITS, 0.0), 0
    with tempfile.TemporaryDirectory() as folder:
        made = configs(Path(folder))
        expected = reference.saved("parity", sources(made, folder))
        groups = [
            {(label, device): {"config": made[label], "device": device} for device in devices}
            for label in made
            for devices in [("cuda",) if label in expected else ("cuda", "cpu")]
        ]
        for found in trained_side_by_side(task, groups, limit=40.0):
            label, _ = next(iter(found))
            on_gpu, on_cpu = found[label, "cuda"], found.get((label, "cpu")) or {"losses": expected[label]}
            if on_cpu.get("late") or on_gpu.get("late"):
                late.append(label)
                continue
            done += 1
            precision = made[label]["precision"]
            problem, gaps = verdict(on_cpu, on_gpu, LIMITS[precision])
            line = f"{label:<18} {'  '.join(f'{gap:.1e}' for gap in gaps)}"
            table.append(f"{line}  {problem or ''}".rstrip())
            if problem:
                failures.append(f"{label}: {problem}")
            worst[precision] = max([worst[precision], *gaps])
            task.note(judged(failures, [*late, "the others"], f"{done} comparisons", table=table))
    furthest = ", ".join(f"{gap:.1e} in {precision}" for precision, gap in worst.items())
    detail = f"{done - len(failures)} of {len(groups)} agree over {STEPS} steps; furthest off {furthest}"
    if others := len(groups) - len(expected):
        detail += f"; {others} computed on this CPU, as {reference.FILE.name} does not fit them"
    return judged(failures, late, detail, table=table)


def keep_reference(task: Task) -> str | None:
    """Compute on this CPU what :func:`check` compares with; returns why it could not."""
    with tempfile.TemporaryDirectory() as folder:
        made = configs(Path(folder))
        specs = {label: {"config": config, "device": "cpu"} for label, config in made.items()}
        found = dict(trained(task, specs, limit=600.0))
        if wrong := [f"{label}: {each['error']}" for label, each in found.items() if "error" in each]:
            return wrong[0]
        losses = {label: each["losses"] for label, each in found.items()}
        reference.keep("parity", sources(made, folder), losses)
    return None


def configs(folder: Path) -> dict[str, Config]:
    """Each net in each precision, by the words for it."""
    made = nets(folder)
    return {f"{name} in {each}": changed(made[name], each, steps=STEPS) for name in made for each in LIMITS}


def sources(made: dict[str, Config], folder: str) -> dict[str, str]:
    """What each was computed from, wherever the folder is."""
    return {label: json.dumps(config).replace(folder, "") for label, config in made.items()}


def verdict(expected: dict, got: dict, limits: tuple[float, float]) -> tuple[str | None, list[float]]:
    """What is wrong, None where nothing is, and the largest differences up to the steps that are shown."""
    for device, found in (("CPU", expected), ("GPU", got)):
        if "error" in found:
            return f"on the {device}: {found['error']}", []
    gaps = [abs(a - b) / max(abs(a), 1e-12) for a, b in zip(expected["losses"], got["losses"], strict=True)]
    shown = [max(gaps[:step]) for step in SHOWN if step <= len(gaps)]
    for step, gap in enumerate(gaps, 1):
        limit = limits[0] if step <= EARLY else limits[1]
        if not gap <= limit:
            return f"step {step}: {gap:.1e} off, at most {limit:.0e}", shown
    return None, shown
