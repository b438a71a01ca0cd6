"""Where the time of a step goes: `dlcourse run --profile` of a small convolutional net, its table as it prints it."""

import json
import tempfile
from pathlib import Path

from processes import last_line, python, run

from gpu.part import ROOT, Outcome, Task

# JSON is YAML too.
CONFIG = {
    "name": "profile",
    "data": {
        "name": "synthetic_images", "samples": 3000, "split": {"val": 500}, "normalize": "standardize",
        "augment": {"flip": True},
    },
    "model": {"name": "cnn", "channels": [32, 64], "hidden": [100], "batch_norm": True},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 1e-3},
    "train": {"steps": 100, "batch_size": 128, "log_every": 50, "eval_every": 0, "evaluate": ["val"]},
}  # fmt: skip
WITHOUT_GPU = {"steps": 5, "batch_size": 32}
BEGINS = "where the time goes"


def check(task: Task) -> Outcome:
    config = CONFIG if task.gpu else CONFIG | {"train": CONFIG["train"] | WITHOUT_GPU}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "profile.yaml"
        path.write_text(json.dumps(config))
        command = ["-m", "dlcourse", "run", str(path), "--profile", "--no-plots", "--out", folder]
        done = run(python(*command, "--device", task.device), task.left, quiet=True, cwd=ROOT)
    if done.returncode:
        return {"status": "failed", "detail": last_line(done.stderr) or f"exit code {done.returncode}"}
    lines = done.stdout.splitlines()
    start = next((index for index, line in enumerate(lines) if BEGINS in line), None)
    if start is None:
        return {"status": "failed", "detail": "it printed no table"}
    return {"status": "passed", "detail": f"a table, on {task.device}", "table": lines[start:]}
