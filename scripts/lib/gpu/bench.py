"""The workloads beside PyTorch's: `scripts/bench --device cuda`, one round, with what the part adds to it.

Failed where ours did, or where losses differ; a peer that failed, or that came to no end, leaves its cells empty.
"""

import contextlib
import json
import subprocess
import tempfile
import time
from pathlib import Path

from processes import python, started

from gpu.part import ROOT, Outcome, Task, judged, no_gpu

LAST = 5.0
"""Seconds for the table, of the part's time."""


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder) / "bench.json"
        options = ["--device", "cuda", "--rounds", "1", "--seconds", "0.3", "--budget", str(task.left - LAST)]
        command = python(str(ROOT / "scripts" / "lib" / "bench"), *options, *task.arguments, "--json", str(numbers))
        outcome = {"status": "failed", "detail": "no table"}
        with started(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            over = False
            while not over:
                over = process.poll() is not None or time.monotonic() > task.until
                with contextlib.suppress(OSError, ValueError):  # not written yet, or not to its end
                    found = json.loads(numbers.read_text())
                    task.note(outcome := verdict(found["rows"], found["table"]))
                time.sleep(0.3)
    return outcome


def verdict(rows: list[dict], table: list[str]) -> Outcome:
    failures, late = [], []
    for row in rows:
        label = f"{row['name']} in {row['precision']}"
        failures += [f"{label}: {side}'s losses are not ours" for side in row["differ"]]
        if "ours" in row["errors"] and "ours" not in row["late"]:
            failures.append(f"{label}, ours: {row['errors']['ours']}")
        elif "ours" not in row["ms"]:
            late.append(label)
    broken = [
        f"{row['name']} in {row['precision']}, {side}: {why}"
        for row in rows
        for side, why in row["errors"].items()
        if side != "ours" and side not in row["late"]
    ]
    compared = sum(any(side != "ours" for side in row["losses"]) and "ours" in row["losses"] for row in rows)
    empty = sum(side not in row["ms"] for row in rows for side in row["errors"])
    detail = f"{len(rows)} rows, {compared} compared with PyTorch"
    if empty:
        detail += f"; {empty} of the peers' cells empty"
    return judged(failures, late, detail, rows=rows, table=[*table, *broken])
