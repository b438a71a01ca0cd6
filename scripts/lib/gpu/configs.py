"""One step of each config on the CPU and on the GPU: the same metrics. One whose files are not here is left out."""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from processes import in_turn, python

from gpu import reference
from gpu.part import ROOT, Outcome, Task, judged, no_gpu

# Float32 sums come in another order, and an ill-conditioned fit widens the difference.
RELATIVE, ABSOLUTE = 2e-3, 1e-4


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    texts = sources()
    on_gpu = one_step(task, "cuda", list(texts))
    there = [name for name in texts if "left_out" not in on_gpu[name]]
    on_cpu = reference.saved("configs", {name: texts[name] for name in there})
    if missing := [name for name in there if name not in on_cpu]:
        on_cpu |= one_step(task, "cpu", missing)
    failures, late, worst = [], [], 0.0
    for name in there:
        found = on_cpu[name], on_gpu[name]
        if any(each.get("late") for each in found):
            late.append(name)
        elif problem := difference(*found):
            failures.append(f"{name}: {problem}")
        else:
            worst = max([worst, *(relative(a, b) for a, b in zip(*map(in_order, found), strict=True))])
    left_out = {name: on_gpu[name]["left_out"] for name in texts if name not in there}
    if not there:
        failures.append("no config has its files here")
    detail = f"{len(there) - len(failures) - len(late)} of {len(there)} configs the same, furthest off {worst:.1e}"
    if missing:
        detail += f"; {len(missing)} computed on this CPU, as {reference.FILE.name} does not fit them"
    return judged(failures, late, f"{detail}, {len(left_out)} left out", left_out=left_out)


def keep_reference(task: Task) -> str | None:
    """Compute on this CPU what :func:`check` compares with; returns why it could not.

    Of a config whose files are not here what was computed before stays.
    """
    texts = sources()
    computed = one_step(task, "cpu", list(texts), CPU_LIMIT)
    found = {name: each for name, each in computed.items() if "left_out" not in each}
    if wrong := [f"{name}: {each['error']}" for name, each in found.items() if "error" in each]:
        return wrong[0]
    reference.keep("configs", texts, reference.saved("configs", texts) | found)
    return None


def sources() -> dict[str, str]:
    """The text of each config."""
    paths = sorted((ROOT / "configs").rglob("*.yaml"))
    experiments = [path for path in paths if "assignments" not in path.parts]
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in experiments}


NOWHERE = "http://127.0.0.1:9"
"""A proxy that is not there: what would be downloaded fails at once, which without a network can take half a minute."""


LIMIT, CPU_LIMIT = 40.0, 300.0
"""Seconds of a config: where a GPU waits, and where its reference is computed, on a CPU that may be busy."""


def one_step(task: Task, device: str, names: list[str], limit: float = LIMIT) -> dict[str, dict]:
    """What ``gpu.one_step`` answers, by config; several processes share them."""
    environment = {**os.environ, "http_proxy": NOWHERE, "https_proxy": NOWHERE}
    shares = [names[first :: task.processes] for first in range(task.processes)]
    command = python("-m", "gpu.one_step", device)
    with ThreadPoolExecutor(task.processes) as pool:
        return dict(
            chain.from_iterable(
                pool.map(
                    lambda share: list(in_turn(command, share, limit, task.until, cwd=ROOT, env=environment)), shares
                )
            )
        )


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
