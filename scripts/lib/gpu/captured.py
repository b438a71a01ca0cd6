"""Steps captured in a CUDA graph against the same eager steps: losses and weights have to agree bit for bit.

They run the same kernels in the same order, so nothing else is right; ``--deterministic`` leaves no choice between
implementations to the clock. A step that could not be captured runs eagerly
and would agree with itself: that counts as a failure, and its reason is named.
"""

import os
import tempfile
from pathlib import Path

from gpu.nets import changed, differing, first, nets, trained_side_by_side
from gpu.part import Outcome, Task, judged, no_gpu

STEPS, LOG_EVERY = 20, 5


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    failures, late, same = [], [], []
    environment = {**os.environ, "DLCOURSE_DETERMINISTIC": "1"}
    with tempfile.TemporaryDirectory() as folder:
        groups = [
            {
                (name, capture): {
                    "config": changed(config, steps=STEPS, log_every=LOG_EVERY), "device": "cuda", "capture": capture
                }
                for capture in (False, True)
            }
            for name, config in nets(Path(folder)).items()
        ]  # fmt: skip
        for found in trained_side_by_side(task, groups, limit=40.0, env=environment):
            ((name, _), eager), (_, captured) = found.items()
            problem = verdict(eager, captured)
            print(f"{name}: {problem or 'the same bits'}")
            if eager.get("late") or captured.get("late"):
                late.append(name)
            elif problem:
                failures.append(f"{name}: {problem}")
            else:
                same.append(name)
            detail = f"{len(same)} of {len(groups)} nets the same bits over {STEPS} steps"
            task.note(judged(failures, [*late, "the others"], detail))
    return judged(failures, late, detail)


def verdict(eager: dict, captured: dict) -> str | None:
    """What is wrong; None where nothing is."""
    for way, found in (("eager", eager), ("captured", captured)):
        if "error" in found:
            return f"{way}: {found['error']}"
    if captured["eager"] or not captured["graphs"]:
        return f"not captured: {'; '.join(captured['notes']) or 'no note says why'}"
    if eager["graphs"]:
        return "the eager steps were captured too"
    differ = differing(eager, captured)
    return f"differ in {first(differ)}" if differ else None
