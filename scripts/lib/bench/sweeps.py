"""Stacked sweeps against the same sweep point by point, and a step of the stack against PyTorch's `torch.func`.

Each side runs in a process of its own and says the processor time of all its threads, which a busy machine changes
least. Point by point only every sixteenth point is run: the others take as long, and all of them an hour.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[2])]

COUNT, SAMPLED = 64, 16
RATES = [float(f"{0.0005 * 1.08**i:.4g}") for i in range(COUNT)]
SOFTMAX: dict[str, Any] = {
    "name": "softmax",
    "data": {"name": "cifar10", "split": {"val": 1000}, "shuffle": False, "normalize": "standardize"},
    "model": {"name": "softmax"},
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.01},
    "train": {"steps": 1500, "batch_size": 200},
    "metrics": ["accuracy", "cross_entropy"],
}
MLP: dict[str, Any] = {
    **SOFTMAX,
    "name": "mlp",
    "data": {"name": "mnist", "split": {"val": 1000}, "normalize": "standardize", "limit": {"train": 10_000}},
    "model": {"name": "mlp", "hidden": [100]},
    "optimizer": {"name": "sgd", "lr": 0.01, "momentum": 0.9},
    "train": {"steps": 1500, "batch_size": 64},
}
SWEEPS = {"softmax": SOFTMAX, "mlp": MLP}
SIZES = {"softmax": (200, 3072, None, 10), "mlp": (64, 784, 100, 10)}
"""Batch, inputs, hidden units, classes."""


def measure(steps: int | None) -> list[dict]:
    """A row for each sweep: seconds stacked and point by point, and of a step, ours and that of ``torch.func``."""
    rows = []
    for name in SWEEPS:
        stacked, alone = (_child("sweep", name, way, str(steps or 0)) for way in ("stacked", "points"))
        row = {"name": name, "stacked_s": stacked["seconds"], "points_s": alone["seconds"] * alone["scale"]}
        row["ratio"] = row["points_s"] / row["stacked_s"]
        row["step_ms"] = _child("step", name, "ours", "0")["seconds"] * 1e3
        row["torch_ms"] = _child("step", name, "torch", "0")["seconds"] * 1e3
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    return rows


def table(rows: list[dict]) -> str:
    """As Markdown."""
    lines = [
        f"| {COUNT} points | stacked s | point by point s | ratio | a step ms | torch.func ms | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        peer = f"{r['step_ms']:.1f} | {r['torch_ms']:.1f} | {r['torch_ms'] / r['step_ms']:.2f}"
        lines.append(f"| {r['name']} | {r['stacked_s']:.1f} | {r['points_s']:.1f} | {r['ratio']:.2f} | {peer} |")
    return "\n".join(lines)


def _child(*words: str) -> dict:
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def sweep(name: str, way: str, steps: int) -> dict:
    """The processor time of a sweep, and by how much to multiply it for all points."""
    from dlcourse.sweeps import run_sweep

    chosen = RATES if way == "stacked" else RATES[::SAMPLED]
    config = {**SWEEPS[name], "sweep": {"grid": {"optimizer.lr": chosen}}}
    if steps:
        config["train"] = {**config["train"], "steps": steps}
    with tempfile.TemporaryDirectory() as out:
        first = {**config, "train": {**config["train"], "steps": 1}, "sweep": {"grid": {"optimizer.lr": RATES[:2]}}}
        options: dict[str, Any] = {
            "device": "cpu",
            "out": out,
            "quiet": True,
            "plots": False,
            "stack": way == "stacked",
        }
        run_sweep(first, **options)  # loads what there is to load
        began = time.process_time()
        found = run_sweep(config, **options)
        seconds = time.process_time() - began
    assert all(point.status == "done" and point.folder for point in found.points)
    return {"seconds": seconds, "scale": COUNT / len(chosen)}


def our_step(name: str) -> Any:
    """A step of the stack with one batch for all, by gradient descent with the rates of :data:`RATES`."""
    from dlcourse import TrainStep, nn, optim
    from dlcourse.backend import random
    from dlcourse.training.stack import Stack

    batch, inputs, hidden, classes = SIZES[name]
    steps, draws = [], []
    for rate in RATES:
        draws.append(random.Draws())
        with random.drawing(draws[-1]):
            layers = [nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes)] if hidden else None
            model = nn.Sequential(*layers) if layers else nn.Linear(inputs, classes)
            steps.append(TrainStep(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=rate)))
    stack = Stack(steps, draws)
    x, y = _batch(batch, inputs, classes)
    return lambda: stack.step([(x, y)] * COUNT)


def torch_step(name: str) -> Any:
    """The same by ``torch.func``: vmap over grad, and an update with a rate for each."""
    import torch
    from torch.func import functional_call, grad, stack_module_state, vmap

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    batch, inputs, hidden, classes = SIZES[name]

    def made() -> torch.nn.Module:
        if hidden is None:
            return torch.nn.Linear(inputs, classes)
        return torch.nn.Sequential(torch.nn.Linear(inputs, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, classes))

    models = [made() for _ in range(COUNT)]
    params, buffers = stack_module_state(models)
    x, y = map(torch.from_numpy, _batch(batch, inputs, classes))

    def loss(p: dict, b: dict) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(functional_call(models[0], (p, b), (x,)), y)

    gradients, rates = vmap(grad(loss)), torch.tensor(RATES)
    weights = {key: value.detach() for key, value in params.items()}

    def step() -> None:
        found = gradients(weights, buffers)
        for key, value in weights.items():
            value -= rates.reshape(-1, *(1,) * (value.ndim - 1)) * found[key]

    return step


def _batch(batch: int, inputs: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, inputs)).astype("float32"), rng.integers(0, classes, batch)


def timed(step: Any) -> dict:
    """The least processor time of a step."""
    step()
    found = []
    for _ in range(12):
        began = time.process_time()
        step()
        found.append(time.process_time() - began)
    return {"seconds": min(found)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("task", "sweep", "way", "steps"):
        parser.add_argument(name)
    args = parser.parse_args()
    if args.task == "sweep":
        print(json.dumps(sweep(args.sweep, args.way, int(args.steps))))
    else:
        print(json.dumps(timed((our_step if args.way == "ours" else torch_step)(args.sweep))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
