"""Stacked sweeps against the same sweep point by point, and a step of the stack against PyTorch's `torch.func`.

Both ways have to end with the same losses, and a rate that diverges has to leave the other points as they are. Each
side runs in a process of its own and says the processor time of all its threads, which a busy machine changes least.
Point by point only every sixteenth point is run: the others take as long, and all of them an hour.
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
EQUAL = 1e-3
"""How far the losses of a point may differ from those of the point by itself, relative, after 1,500 float32 steps."""
DIVERGED = 1e38
SIZES = {"softmax": (200, 3072, None, 10), "mlp": (64, 784, 100, 10)}
"""Batch, inputs, hidden units, classes."""


def measure(steps: int | None) -> list[dict]:
    """A row for each sweep: seconds stacked and point by point, and of a step, ours and that of ``torch.func``."""
    rows = []
    for name in SWEEPS:
        stacked, alone = (_child("sweep", name, way, str(steps or 0)) for way in ("stacked", "points"))
        row = {"name": name, "stacked_s": stacked["seconds"], "points_s": alone["seconds"] * alone["scale"]}
        row["ratio"] = row["points_s"] / row["stacked_s"]
        row["difference"] = _difference(stacked["losses"], alone["losses"])
        row["agree"] = row["difference"] <= EQUAL
        row["step_ms"] = _child("step", name, "ours", "0")["seconds"] * 1e3
        row["torch_ms"] = _child("step", name, "torch", "0")["seconds"] * 1e3
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    return [*rows, {"name": f"the rate {DIVERGED:g} among others", "agree": leaves_others_alone()}]


def _difference(one: list[list[float]], other: list[list[float]]) -> float:
    """The largest, relative."""
    a, b = np.array(one), np.array(other)
    return float(np.max(np.abs(a - b) / np.abs(b)))


def leaves_others_alone() -> bool:
    """Whether a point that diverges ends so, and changes no bit of the other points' metrics."""
    config = {**SOFTMAX, "data": {"name": "spirals", "split": {"val": 0.2}}, "train": {"steps": 50, "batch_size": 20}}
    with_it, without = (
        _swept({**config, "sweep": {"grid": {"optimizer.lr": rates}}}, True)
        for rates in ([0.01, DIVERGED, 0.1], [0.01, 0.1])
    )
    ended = [point.status for point in with_it] == ["done", "diverged", "done"]
    return ended and [with_it[i].metrics for i in (0, 2)] == [point.metrics for point in without]


def table(rows: list[dict]) -> str:
    """As Markdown."""
    columns = "stacked s | point by point s | ratio | largest difference | a step ms | torch.func ms | ratio"
    lines = [f"| {COUNT} points | {columns} |", "|---|---|---|---|---|---|---|---|"]
    notes = []
    for r in rows:
        if "ratio" not in r:
            notes.append(f"\n{r['name']}: {'leaves them as they are' if r['agree'] else 'CHANGES THEM'}")
            continue
        same = f"{r['difference']:.0e}{'' if r['agree'] else ' (NOT THE SAME)'}"
        peer = f"{r['step_ms']:.1f} | {r['torch_ms']:.1f} | {r['torch_ms'] / r['step_ms']:.2f}"
        lines.append(
            f"| {r['name']} | {r['stacked_s']:.1f} | {r['points_s']:.1f} | {r['ratio']:.2f} | {same} | {peer} |"
        )
    return "\n".join([*lines, *notes])


def _child(*words: str) -> dict:
    done = subprocess.run([sys.executable, __file__, *words], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def sweep(name: str, way: str, steps: int) -> dict:
    """The processor time of a sweep, by how much to multiply it for all points, and the losses of those compared."""
    chosen = RATES if way == "stacked" else RATES[::SAMPLED]
    config = {**SWEEPS[name], "sweep": {"grid": {"optimizer.lr": chosen}}}
    if steps:
        config["train"] = {**config["train"], "steps": steps}
    first = {**config, "train": {**config["train"], "steps": 1}, "sweep": {"grid": {"optimizer.lr": RATES[:2]}}}
    _swept(first, way == "stacked")  # loads what there is to load
    began = time.process_time()
    points = _swept(config, way == "stacked")
    seconds = time.process_time() - began
    assert all(point.status == "done" for point in points)
    compared = points[::SAMPLED] if way == "stacked" else points
    losses = [[value for name, value in p.metrics.items() if "cross_entropy" in name] for p in compared]
    return {"seconds": seconds, "scale": COUNT / len(chosen), "losses": losses}


def _swept(config: dict[str, Any], stacked: bool) -> list[Any]:
    """The points of a sweep, whose folders are gone."""
    from dlcourse.sweeps import run_sweep

    with tempfile.TemporaryDirectory() as out:
        found = run_sweep(config, device="cpu", out=out, quiet=True, plots=False, stack=stacked)
        assert all(point.folder for point in found.points)
    return found.points


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
