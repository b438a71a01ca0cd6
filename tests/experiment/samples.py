"""Configs that train in a moment, and ways to run them in a process of their own."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

LINE: dict[str, Any] = {
    "name": "line",
    "device": "cpu",
    "data": {"name": "westwood_rent", "split": {"val": 0.2, "test": 0.2}, "normalize": "standardize"},
    "model": "linear",
    "loss": "half_sse",
    "optimizer": "least_squares",
    "metrics": ["half_sse", "mse", "r2"],
}

# Everything that could break exact resume: shuffled batches with a short last one, dropout, a schedule, momentum of two
# kinds, a moving average, clipping, penalties.
NET: dict[str, Any] = {
    "name": "net",
    "device": "cpu",
    "seed": 5,
    "data": {"name": "spirals", "samples": 150, "split": {"val": 0.2, "test": 0.2}, "normalize": "standardize"},
    "model": {"name": "mlp", "hidden": [16, 16], "dropout": 0.2},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.02, "schedule": {"name": "cosine", "warmup": 5}},
    "metrics": ["accuracy", "cross_entropy"],
    "train": {"epochs": 20, "batch_size": 16, "log_every": 3, "clip_norm": 1.0, "l2": 1e-4, "ema": 0.9},
}

IMAGES: dict[str, Any] = {
    **NET,
    "name": "images",
    "data": {
        "name": "synthetic_images",
        "samples": 120,
        "classes": 3,
        "image_size": 8,
        "split": {"val": 0.2, "test": 0.2},
        "normalize": "standardize",
        "augment": {"flip": True, "crop": 2},
    },
}


def changed(config: dict[str, Any], **sections: Any) -> dict[str, Any]:
    """A copy with other values: ``changed(NET, train={"epochs": 2})`` lays over the section."""
    config = copy.deepcopy(config)
    for name, value in sections.items():
        both = isinstance(value, dict) and isinstance(config.get(name), dict)
        config[name] = {**config[name], **value} if both else value
    return config


def lines(run: Path) -> list[dict[str, Any]]:
    """``metrics.jsonl`` without what the clock says."""
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def same_run(one: Path, other: Path) -> None:
    """Assert that two runs ended bit for bit alike: checkpoints, log, results, predictions."""
    assert lines(one) == lines(other)
    saved = [{path.name for path in (run / "checkpoints").glob("*.safetensors")} - {"previous.safetensors"}
            for run in (one, other)]  # fmt: skip
    assert saved[0] == saved[1] and "last.safetensors" in saved[0]
    for name in saved[0]:
        assert (one / "checkpoints" / name).read_bytes() == (other / "checkpoints" / name).read_bytes(), name
    results = [json.loads((run / "result.json").read_text()) for run in (one, other)]
    for result in results:
        del result["seconds"], result["peak_memory"], result["config_overrides"]
    assert results[0] == results[1]
    assert (one / "predictions.npz").read_bytes() == (other / "predictions.npz").read_bytes()


def write(folder: Path, config: dict[str, Any]) -> Path:
    """The config as a file."""
    path = folder / f"{config['name']}.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


def start(*arguments: Any, **options: Any) -> subprocess.Popen:
    """``dlcourse ...`` in its own process, on one thread, from this clone."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([sys.executable, "-m", "dlcourse", *map(str, arguments)], env=environment, **pipes)


def dlcourse(*arguments: Any, **options: Any) -> tuple[int, str, str]:
    """Run ``dlcourse ...`` to its end: exit code, stdout, stderr."""
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out or "", err or ""


def only_run(out: Path) -> Path:
    """The one run folder under ``out``."""
    (found,) = out.glob("*/*/config.yaml")
    return found.parent
