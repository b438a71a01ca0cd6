"""The same run in two processes: the same bits with ``--deterministic``; whether without, too, is only reported."""

import tempfile
from pathlib import Path

from processes import with_path

from gpu.nets import changed, differing, first, nets, trained_side_by_side
from gpu.part import Outcome, Task, judged

STEPS = 20
NETS = ("cnn", "lstm", "gpt")
WAYS = {"with --deterministic": "1", "without": "0"}


def check(task: Task) -> Outcome:
    failures, late, details = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        made = nets(Path(folder))
        specs = {name: {"config": changed(made[name], steps=STEPS), "device": task.device} for name in NETS}
        for way, value in WAYS.items():
            environment = {**with_path(), "DLCOURSE_DETERMINISTIC": value}
            one, other = trained_side_by_side(task, [specs, specs], limit=40.0, env=environment)
            differ = {name: problem for name in NETS if (problem := verdict(one[name], other[name]))}
            slow = [f"{name} {way}" for name in NETS if one[name].get("late") or other[name].get("late")]
            late += slow
            wrong = [f"{name} {way}: {problem}" for name, problem in differ.items() if f"{name} {way}" not in slow]
            print("\n".join(wrong + [f"{each}: not done" for each in slow]) or f"{way}: the same bits")
            if value == "1" or any("error" in each for each in [*one.values(), *other.values()]):
                failures += wrong
            details.append(f"{way} {len(NETS) - len(differ)} of {len(NETS) - len(slow)} nets repeat bit for bit")
            task.note(judged(failures, [*late, "the rest"], "; ".join(details)))
    return judged(failures, late, f"on {task.device}, {STEPS} steps: {'; '.join(details)}")


def verdict(one: dict, other: dict) -> str | None:
    for found in (one, other):
        if "error" in found:
            return found["error"]
    differ = differing(one, other)
    return f"differ in {first(differ)}" if differ else None
