"""Several ranks against one process on this machine: equal, whole where one ends, and how fast.

Needs mpi4py and mpirun. A step on two ranks of one thread and one on a process of two threads take turns, each in
processes of its own; of either the median of the steps' times counts, and beside it the processor time of all ranks or
threads, which a busy machine changes less (a rank that waits for the other spends some too). What the ranks train lies
with their tests.
"""

import argparse
import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [str(HERE), str(ROOT)]

from tests.distributed import launching  # noqa: E402

RANKS, OTHER = 2, 3
"""Ranks that are measured, and on how many a killed run goes on."""
STEPS = {"mlp": 40, "resnet20": 6}
"""Of a timing, by workload: gradients of 7.4 and 1.1 MB."""
SUMS = {7_850: 400, 272_474: 100, 1_841_162: 40}
"""How often gradients of so many numbers are summed: softmax regression on digits, ResNet-20, the mlp above."""
EXACTLY = "precision=float64"
RESUMED = 1e-6
"""How far the weights of a run that went on may lie from those of one process, after 600 steps; in float32 rounding
grows to 1e-3 and would hide a step taken twice."""


def missing() -> str | None:
    """What is not there to start ranks with, if so."""
    if launching.MPIRUN is None or importlib.util.find_spec("mpi4py") is None:
        what = "mpirun" if launching.MPIRUN is None else "mpi4py"
        return f"ranks: {what} is not installed (pip install 'dlcourse[mpi]'), so nothing is measured"
    return None


def measure(rounds: int) -> list[dict]:
    """A row for each thing measured; empty with a word where there is no MPI."""
    if why := missing():
        print(why, file=sys.stderr)
        return []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        launching.write(Path(folder))
        for part in (equality(Path(folder)), failures(Path(folder)), steps(rounds), sums()):
            for row in part:
                rows.append(row)
                print(json.dumps(row), file=sys.stderr, flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """As Markdown."""
    lines = ["| ranks | what | found | as it has to be |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {r['ranks']} | {r['what']} | {r['found']} | {_verdict(r)} |" for r in rows)])


def _verdict(row: dict) -> str:
    return {True: "yes", False: "NO", None: "-"}[row["agree"]]


def _row(ranks: int, what: str, found: str, agree: bool | None, **numbers: Any) -> dict:
    return {"ranks": ranks, "what": what, "found": found, "agree": agree, **numbers}


# --- equality ---------------------------------------------------------------------------------------------------------


def equality(folder: Path) -> Iterator[dict]:
    """Every case of the tests on several ranks and on one process."""
    from tests.distributed.program import allowed

    for ranks in (RANKS, OTHER):
        text = launching.finished(launching.start(ranks, str(launching.PROGRAM), str(folder), cwd=ROOT), seconds=600)
        result = folder / "result.json"
        if not result.is_file():
            yield _row(ranks, "against one process", launching.last_line(text), False)
            continue
        cases = json.loads(result.read_text())
        result.unlink()
        exact = {name: each for name, each in cases.items() if allowed(name) == allowed("")}
        largest = {part: max(each[part] for each in exact.values()) for part in ("weights", "metrics", "losses")}
        others = "".join(f"; {name} {max(cases[name].values()):.0e}" for name in cases.keys() - exact.keys())
        found = ", ".join(f"{part} {value:.0e}" for part, value in largest.items())
        agree = all(max(each.values()) <= allowed(name) for name, each in cases.items())
        what = f"{len(exact)} configs against one process, largest difference"
        yield _row(ranks, what, found + others, agree, cases=cases)


# --- failure ----------------------------------------------------------------------------------------------------------


def failures(folder: Path) -> Iterator[dict]:
    """A rank that raises an error, and one that is killed: all end, and the run goes on on other ranks."""
    words = "run", "config.yaml", *launching.QUIETLY, "--out"
    broken = "model.name=broken", "--plugin", "broken.py"
    code, text = launching.together(RANKS, *words, str(folder / "broken"), *broken, cwd=folder)
    message = next((line for line in text.splitlines() if "rank 1 of" in line), launching.last_line(text))
    found = f"all end with exit code {code}: `{message}`"
    yield _row(RANKS, "one raises an error", found, code == 1 and "a broken part" in message)

    out = folder / "killed"
    process = launching.start(RANKS, "-m", "dlcourse", *words, str(out), EXACTLY, cwd=folder)
    run = launching.after_checkpoint(process, out)
    os.kill(launching.ranks_of(process)[1], signal.SIGKILL)
    began = time.monotonic()
    text = launching.finished(process)
    took = time.monotonic() - began
    said = "signal 9" in text or "Killed" in text
    step = json.loads((run / "checkpoints" / "latest.json").read_text())["step"]
    found = f"all end with exit code {process.returncode} after {took:.1f} s; the checkpoint of step {step} is whole"
    yield _row(RANKS, "one is killed", found, process.returncode != 0 and said)

    again = "run", "--resume", str(run), *launching.QUIETLY
    code, text = launching.together(OTHER, *again, cwd=folder)
    if code:
        yield _row(OTHER, "it goes on", launching.last_line(text), False)
        return
    gap = _gap(run, folder)
    found = f"ends with weights {gap:.0e} from those of one process that was never stopped"
    yield _row(OTHER, "it goes on", found, gap <= RESUMED, difference=gap)


def _gap(run: Path, folder: Path) -> float:
    import dlcourse as dl

    options = {"device": "cpu", "out": folder / "alone", "quiet": True, "plots": False}
    whole = dl.run(folder / "config.yaml", overrides=[EXACTLY], **options)
    pairs = zip(dl.load_run(run).model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    return max(float(np.abs(np.asarray(one) - np.asarray(other)).max()) for one, other in pairs)


# --- speed ------------------------------------------------------------------------------------------------------------


def steps(rounds: int) -> Iterator[dict]:
    """A step of one batch on two ranks of one thread, and by a process of two threads."""
    for name, count in STEPS.items():
        words, pairs = ("step", name, str(count)), []
        for _ in range(rounds):
            pairs.append((_child(launching.command(RANKS, __file__, *words), 1), _child(_here(*words), RANKS)))
        together, alone = ({key: statistics.median(p[i][key] for p in pairs) for key in pairs[0][i]} for i in (0, 1))
        gain, by_cpu = (statistics.median(b[key] / a[key] for a, b in pairs) for key in ("ms", "cpu_ms"))
        found = f"{together['ms']:.2f} ms a step; one process of {RANKS} threads {alone['ms']:.2f} ms: {gain:.2f} times"
        found += f" as fast; processor time {together['cpu_ms']:.2f} and {alone['cpu_ms']:.2f} ms: {by_cpu:.2f}"
        yield _row(RANKS, f"speed of {name}", found, None, together=together, alone=alone, gain=gain, by_cpu=by_cpu)


def sums() -> Iterator[dict]:
    """How long gradients take to sum."""
    for size, found in _child(launching.command(RANKS, __file__, "sum"), 1).items():
        text = f"{found['median'] * 1e3:.3f} ms, at best {found['least'] * 1e3:.3f}"
        yield _row(RANKS, f"sum of {int(size):,} float32", text, None, **found)


def _here(*words: str) -> list[str]:
    return [sys.executable, __file__, *words]


def _child(command: list[str], threads: int) -> dict:
    """The numbers of a process, or of ranks, of which the first says them."""
    environment = {**launching.environment(), "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return json.loads(launching.last_line(done.stdout))


def time_steps(name: str, count: int) -> dict[str, float]:
    """The median time of a step, and the processor time of all ranks for one."""
    import ours
    from workloads import WORKLOADS

    from dlcourse.distributed.world import world

    group, step = world(), ours.step(WORKLOADS[name])
    for _ in range(3):
        step()
    group.wait_for_all()
    times, used = [], time.process_time()
    for _ in range(count):
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    used = time.process_time() - used
    return {"ms": 1e3 * statistics.median(times), "cpu_ms": 1e3 * sum(group.gather(used)) / count}


def time_sums() -> dict[str, dict[str, float]]:
    """Seconds of a sum over all ranks, by how many numbers it has."""
    from dlcourse.distributed.world import world

    group, found = world(), {}
    for size, count in SUMS.items():
        array, times = np.ones(size, np.float32), []
        for _ in range(count):
            array[...] = 1
            began = time.perf_counter()
            group.all_reduce(array)
            times.append(time.perf_counter() - began)
        assert array[0] == array[-1] == group.size
        found[str(size)] = {"median": statistics.median(times[2:]), "least": min(times)}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["step", "sum"])
    parser.add_argument("workload", nargs="?")
    parser.add_argument("count", nargs="?", type=int)
    args = parser.parse_args()
    found = time_sums() if args.task == "sum" else time_steps(args.workload, args.count)
    from dlcourse.backend import collectives

    if collectives.group().rank == 0:
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
