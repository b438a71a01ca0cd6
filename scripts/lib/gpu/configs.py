"""One step of each config on the CPU and on the GPU: the same metrics. One whose files are not here is left out."""

import math

from processes import in_turn, python

from gpu.part import ROOT, Outcome, Task, judged, no_gpu

# Float32 sums come in another order, and an ill-conditioned fit widens the difference.
RELATIVE, ABSOLUTE = 2e-3, 1e-4


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    paths = [str(path) for path in sorted((ROOT / "configs").rglob("*.yaml"))]
    on_cpu = one_step(task, "cpu", paths)
    there = [path for path in paths if "left_out" not in on_cpu[path]]
    on_gpu = one_step(task, "cuda", there)
    failures, late, worst = [], [], 0.0
    for path in there:
        name = path.removeprefix(f"{ROOT}/")
        found = on_cpu[path], on_gpu[path]
        if any(each.get("late") for each in found):
            late.append(name)
        elif problem := difference(*found):
            failures.append(f"{name}: {problem}")
            print(failures[-1])
        else:
            worst = max([worst, *(relative(a, b) for a, b in zip(*map(in_order, found), strict=True))])
    absent = [path for path in paths if path not in there]
    left_out = {path.removeprefix(f"{ROOT}/"): on_cpu[path]["left_out"] for path in absent}
    if not there:
        failures.append("no config has its files here")
    detail = f"{len(there) - len(failures) - len(late)} of {len(there)} configs the same, furthest off {worst:.1e}"
    return judged(failures, late, f"{detail}, {len(left_out)} left out", left_out=left_out)


def one_step(task: Task, device: str, paths: list[str]) -> dict[str, dict]:
    """What ``gpu.one_step`` answers, by config."""
    return dict(in_turn(python("-m", "gpu.one_step", device), paths, 40.0, task.until, cwd=ROOT))


def difference(expected: dict, got: dict) -> str | None:
    """What differs; None where nothing does. A metric that one device lacks is a difference too."""
    for device, found in (("CPU", expected), ("GPU", got)):
        if "metrics" not in found:
            return f"on the {device}: {found.get('error') or found['left_out']}"
    pairs = {
        key: (expected["metrics"].get(key), got["metrics"].get(key)) for key in expected["metrics"] | got["metrics"]
    }
    off = [f"{key}: CPU {a}, GPU {b}" for key, (a, b) in pairs.items() if None in (a, b) or not close(a, b)]
    return "; ".join(off) or None


def in_order(found: dict) -> list[float]:
    return [value for _, value in sorted(found["metrics"].items())]


def relative(expected: float, got: float) -> float:
    return abs(expected - got) / max(abs(expected), abs(got), ABSOLUTE)


def close(expected: float, got: float) -> bool:
    return math.isclose(expected, got, rel_tol=RELATIVE, abs_tol=ABSOLUTE) or (math.isnan(expected) and math.isnan(got))
