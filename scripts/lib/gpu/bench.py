"""The workloads beside PyTorch's: `scripts/bench --device cuda`, two short rounds and then compiled.

Failed where ours did, or where losses differ; a peer that failed, or that came to no end, leaves its cells empty.
"""

import json
import subprocess
import tempfile
from pathlib import Path

from processes import python, run

from gpu.part import ROOT, Outcome, Task, judged, no_gpu

LAST = 5.0
"""Seconds for the table, of the part's time."""


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    with tempfile.TemporaryDirectory() as folder:
        numbers = Path(folder) / "bench.json"
        options = ["--device", "cuda", "--rounds", "2", "--seconds", "0.5", "--budget", str(task.left - LAST)]
        command = python(str(ROOT / "scripts" / "lib" / "bench"), *options, "--json", str(numbers))
        try:
            ended = f"exit code {run(command, task.left, cwd=ROOT).returncode}"
        except subprocess.TimeoutExpired:
            ended = "not done in time"
        if not numbers.exists():
            return {"status": "failed", "detail": f"no table, {ended}"}
        found = json.loads(numbers.read_text())
    return verdict(found["rows"], found["table"])


def verdict(rows: list[dict], table: list[str]) -> Outcome:
    failures, late = [], []
    for row in rows:
        label = f"{row['name']} in {row['precision']}"
        failures += [f"{label}: {side}'s losses are not ours" for side in row["differ"]]
        if "ours" in row["errors"] and "ours" not in row["late"]:
            failures.append(f"{label}, ours: {row['errors']['ours']}")
        elif "ours" not in row["ms"]:
            late.append(label)
    compared = sum(any(side != "ours" for side in row["losses"]) and "ours" in row["losses"] for row in rows)
    empty = sum(side not in row["ms"] for row in rows for side in row["errors"])
    detail = f"{len(rows)} rows, {compared} compared with PyTorch"
    if empty:
        detail += f"; {empty} of the peers' cells empty"
    return judged(failures, late, detail, rows=rows, table=table)
