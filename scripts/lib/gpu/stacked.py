"""A step of 64 models as one stack against 64 steps of one of them: recorded, the same weights, and how many times as
fast.

Of 64 softmax classifiers a stack takes 9 launches instead of 256, of 64 nets with a hidden layer 17 instead of 512
(``tests/backend/test_launches.py``); what that is in time only a GPU says. That a ratio is below its aim is said, and
is no failure.
"""

import json

from processes import in_turn, python

from gpu.part import ROOT, Outcome, Task, judged, no_gpu

REPLICAS, BLOCK = 64, 64
WORKLOADS = {
    "softmax": {"batch": 200, "inputs": 3072, "hidden": None, "classes": 10},
    "mlp100": {"batch": 64, "inputs": 784, "hidden": 100, "classes": 10},
}
AIMS = {"softmax": 15, "mlp100": 3}
DIFFERENCE = 1e-4
"""Of weights after 20 steps, relative: sums come in another order."""


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    specs = [
        json.dumps(spec | {"replicas": REPLICAS, "block": BLOCK, "device": task.device}) for spec in WORKLOADS.values()
    ]
    command = python("-m", "gpu.stacking")
    failures, late, details, results = [], [], [], {}
    table = [f"| {REPLICAS} models | a step of the stack us | of one us | ratio | aim |", "|---|---|---|---|---|"]
    for name, (_, found) in zip(WORKLOADS, in_turn(command, specs, 60.0, task.until, cwd=ROOT), strict=True):
        if found.get("late"):
            late.append(name)
        elif problem := verdict(found):
            failures.append(f"{name}: {problem}")
        if "error" not in found:
            ratio = REPLICAS * found["alone_ms"] / found["stack_ms"]
            results[name] = found | {"ratio": ratio}
            times = f"{1e3 * found['stack_ms']:.1f} | {1e3 * found['alone_ms']:.1f}"
            table.append(f"| {name} | {times} | {ratio:.1f} | {AIMS[name]} |")
            details.append(f"{name} {ratio:.1f} times (aim {AIMS[name]})")
        task.note(judged(failures, [*late, "the others"], "; ".join(details), table=table, results=results))
    return judged(failures, late, "; ".join(details) or "nothing was timed", table=table, results=results)


def verdict(found: dict) -> str | None:
    """What is wrong; None where nothing is."""
    if "error" in found:
        return str(found["error"])
    if not found["graphs"]:
        return f"not captured: {'; '.join(found['notes']) or 'no note says why'}"
    if not found["difference"] <= DIFFERENCE:
        return f"weights differ from those of one by itself by {found['difference']:.1e}"
    return None
