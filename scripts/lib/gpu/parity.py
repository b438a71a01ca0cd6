"""100 steps of one config on the CPU and on the GPU, loss by loss, with dropout and augmentation on.

Both draw the same bits for weights, order, augmentation and dropout, so the losses differ by rounding alone: sums come
in another order. A step rounds by a few units of u, 6e-8 in float32 and 1.1e-16 in float64, relative to the loss, and
where a loss is smooth that hardly grows in 100 of these steps. Where an input of a ReLU or a max pool lies within
rounding of the other side, one sample's gradient jumps, and from there on two nets of slightly different weights learn.

How large that is shows on a CPU alone, float32 against float64 on the same batches, for three seeds: up to step 10 at
most 6e-7, in all nets; up to step 100 below 4e-7 in softmax, mlp, lstm and gpt, but 2.5e-3 in the cnn and 7e-3 in the
resnet, whose first jumps come at step 17. Hence ``FLOAT32``: 1e-4 up to step 10, 2e-2 up to step 100.

Float64 tells rounding from errors. Jumps are u / 6e-8 times as likely, practically never, so what is left is smooth
growth (``FLOAT64``; softmax, mlp, cnn and lstm by the CUDA kernels run on the host were 1e-15 off at step 100). A wrong
gradient, a wrong mask or a batch out of order is as far off as in float32.
"""

import tempfile
from pathlib import Path

from gpu.nets import changed, nets, trained
from gpu.part import Outcome, Task, judged, no_gpu

STEPS, EARLY = 100, 10
FLOAT32, FLOAT64 = (1e-4, 2e-2), (1e-12, 1e-9)
"""The largest relative difference of a loss up to step ``EARLY``, and up to step ``STEPS``."""
SHOWN = 1, 10, 100


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    failures, late, table = [], [], [f"largest relative difference of the loss up to step {', '.join(map(str, SHOWN))}"]
    worst = dict.fromkeys(("float32", "float64"), 0.0)
    with tempfile.TemporaryDirectory() as folder:
        specs = {
            (name, precision, device): {"config": changed(config, precision, steps=STEPS), "device": device}
            for name, config in nets(Path(folder)).items()
            for precision in worst
            for device in ("cpu", "cuda")
        }
        on_cpu: dict = {}
        done = 0
        for (name, precision, device), found in trained(task, specs, limit=40.0):
            if device == "cpu":
                on_cpu = found
                continue
            label = f"{name} in {precision}"
            if on_cpu.get("late") or found.get("late"):
                late.append(label)
                continue
            done += 1
            problem, gaps = verdict(on_cpu, found, FLOAT32 if precision == "float32" else FLOAT64)
            line = f"{label:<18} {'  '.join(f'{gap:.1e}' for gap in gaps)}"
            table.append(f"{line}  {problem or ''}".rstrip())
            print(table[-1], flush=True)
            if problem:
                failures.append(f"{label}: {problem}")
            worst[precision] = max([worst[precision], *gaps])
            task.note(judged(failures, [*late, "the others"], f"{done} comparisons", table=table))
    furthest = ", ".join(f"{gap:.1e} in {precision}" for precision, gap in worst.items())
    detail = f"{done - len(failures)} of {len(specs) // 2} agree over {STEPS} steps; furthest off {furthest}"
    return judged(failures, late, detail, table=table)


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
