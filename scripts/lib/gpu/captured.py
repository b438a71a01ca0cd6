"""Steps recorded in a CUDA graph against the same steps by calls: losses and weights have to agree bit for bit.

They run the same kernels in the same order, so nothing else is right. A step that could not be recorded runs by calls
and would agree with itself: that counts as a failure, and its reason is named.
"""

import tempfile
from pathlib import Path

from gpu.nets import changed, differing, first, nets, trained
from gpu.part import Outcome, Task, judged, no_gpu

STEPS, LOG_EVERY = 20, 5


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    failures, late, same = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        specs = {
            (name, capture): {
                "config": changed(config, steps=STEPS, log_every=LOG_EVERY), "device": "cuda", "capture": capture
            }
            for name, config in nets(Path(folder)).items()
            for capture in (False, True)
        }  # fmt: skip
        found = {}
        for (name, capture), answer in trained(task, specs, limit=40.0):
            found[capture] = answer
            if not capture:
                continue
            problem = verdict(found[False], found[True])
            print(f"{name}: {problem or 'the same bits'}", flush=True)
            if any(each.get("late") for each in found.values()):
                late.append(name)
            elif problem:
                failures.append(f"{name}: {problem}")
            else:
                same.append(name)
            detail = f"{len(same)} of {len(specs) // 2} nets the same bits over {STEPS} steps"
            task.note(judged(failures, [*late, "the others"], detail))
    return judged(failures, late, detail)


def verdict(by_calls: dict, recorded: dict) -> str | None:
    """What is wrong; None where nothing is."""
    for way, found in (("by calls", by_calls), ("recorded", recorded)):
        if "error" in found:
            return f"{way}: {found['error']}"
    if recorded["by_calls"] or not recorded["graphs"]:
        return f"not recorded: {'; '.join(recorded['notes']) or 'nothing was said'}"
    if by_calls["graphs"]:
        return "the steps by calls were recorded too"
    differ = differing(by_calls, recorded)
    return f"differ in {first(differ)}" if differ else None
