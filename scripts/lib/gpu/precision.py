"""Float32, TF32, fp16 and bf16 on one net: what it reaches, and how long a step takes. A precision that a config does
not take, or a data set that is not here, is reported as such.

What is judged is that each learns: its validation accuracy is not far below float32's.
"""

import os

from gpu.nets import trained
from gpu.part import Outcome, Task, judged, no_gpu

PRECISIONS = ("float32", "tf32", "fp16", "bf16")
BEHIND = 0.05
"""Of the validation accuracy: more than the spread between seeds of these short runs, less than not having learned."""

SYNTHETIC = {
    "name": "precision",
    "seed": 0,
    "data": {
        "name": "synthetic_images", "samples": 6000, "split": {"val": 1000}, "normalize": "standardize",
        "augment": {"flip": True},
    },
    "model": {"name": "vgg", "layers": [32, 32, "pool", 64, 64, "pool", 128, "pool"]},
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "schedule": {"name": "cosine", "warmup": 20}},
    "train": {"steps": 200, "batch_size": 128, "log_every": 50, "eval_every": 0, "evaluate": ["val"]},
    "metrics": ["accuracy", "cross_entropy"],
}  # fmt: skip
CIFAR10 = SYNTHETIC | {
    "data": {
        "name": "cifar10", "split": {"val": 1000}, "normalize": "standardize", "augment": {"flip": True, "crop": 4},
    },
    "train": SYNTHETIC["train"] | {"steps": 766},
}  # fmt: skip


def check(task: Task) -> Outcome:
    if not task.gpu:
        return no_gpu()
    data = {"synthetic": SYNTHETIC} | ({"cifar10": CIFAR10} if os.environ.get("DLCOURSE_DATA") else {})
    specs = {
        (name, precision): {"config": config | {"precision": precision}, "device": "cuda"}
        for name, config in data.items()
        for precision in PRECISIONS
    }
    failures, late, absent, results = [], [], [], {}
    table = ["| data | precision | ms a step | loss at the end | validation accuracy |", "|---|---|---|---|---|"]
    for (name, precision), found in trained(task, specs, limit=60.0):
        label = f"{precision} on {name}"
        if "error" in found:
            print(f"{label}: {found['error']}", flush=True)
            if found.get("refused"):
                absent.append(label)
            elif found.get("late"):
                late.append(label)
            else:
                failures.append(f"{label}: {found['error']}")
            continue
        accuracy = found["metrics"]["val"]["accuracy"]
        table.append(f"| {name} | {precision} | {found['ms']:.3f} | {found['losses'][-1]:.4f} | {accuracy:.4f} |")
        results[f"{name} {precision}"] = {key: found[key] for key in ("ms", "losses", "metrics", "notes", "graphs")}
        reference = results.get(f"{name} float32")
        if reference and accuracy < reference["metrics"]["val"]["accuracy"] - BEHIND:
            failures.append(f"{label}: accuracy {accuracy:.4f}, more than {BEHIND} below float32's")
        task.note(judged(failures, [*late, "the others"], f"{len(results)} runs", table=table, results=results))
    detail = f"{len(results)} of {len(specs)} runs"
    if absent:
        detail += f"; not there: {', '.join(absent)}"
    if not results and not late:
        failures.append("no precision ran")
    return judged(failures, late, detail, table=table, results=results)
