"""Small nets of all kinds as configs, and ways to train them in processes of their own."""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from processes import in_turn, python

from gpu.part import ROOT, Task

Config = dict[str, Any]

IMAGES = {
    "name": "synthetic_images",
    "samples": 300,
    "classes": 5,
    "image_size": 12,
    "split": {"val": 0.2},
    "normalize": "standardize",
    "augment": {"flip": True, "crop": 2},
}
MOVED = {**IMAGES, "augment": {"flip": "alternating", "crop": 2, "border": "reflect"}}
MOMENTUM = {"name": "sgd", "lr": 0.02, "momentum": 0.9, "schedule": {"name": "cosine", "warmup": 5}}
WITH_MUON = {
    **MOMENTUM,
    "groups": [{"match": "*", "ndim": 4, "optimizer": {"name": "muon", "normalize_weights": True}}],
}
TRAIN = {"steps": 20, "batch_size": 25, "log_every": 1, "eval_every": 0, "evaluate": ["val"], "clip_norm": 5.0}


def nets(folder: Path) -> dict[str, Config]:
    """Nets that between them need all kinds of kernels, with dropout, augmentation, schedules and a short last batch,
    and one that is trained against an attack.

    Args:
        folder: where a text to learn from is put.
    """
    text = folder / "squares.txt"
    text.write_text(" ".join(f"{i}^2={i * i}" for i in range(1, 1200)))
    tokens = {"name": "text", "path": str(text), "context": 12, "split": {"val": 0.1}}
    models: dict[str, tuple[Config, Config, Config]] = {
        "softmax": ({"name": "softmax"}, IMAGES, {"name": "sgd", "lr": 0.01}),
        "mlp": ({"name": "mlp", "hidden": [48, 32], "dropout": 0.3}, IMAGES, MOMENTUM),
        "cnn": (
            {"name": "cnn", "channels": [8, 12], "hidden": [24], "batch_norm": True, "dropout": 0.2},
            IMAGES, MOMENTUM,
        ),
        "resnet": ({"name": "resnet", "depth": 8, "width": 8}, IMAGES, MOMENTUM),
        "squeeze-resnet": ({"name": "resnet", "depth": 8, "width": 4, "squeeze": 2}, IMAGES, MOMENTUM),
        "wide-resnet": ({"name": "wide_resnet", "depth": 10, "widen": 1, "dropout": 0.2}, IMAGES, MOMENTUM),
        "lenet": ({"name": "lenet"}, {**IMAGES, "image_size": 16}, MOMENTUM),
        "googlenet": ({"name": "googlenet", "blocks": [[8, 8, 8, 4, 8, 8], "pool"], "width": 0.5}, IMAGES, MOMENTUM),
        "mobilenet": ({"name": "mobilenet", "channels": [8, 16], "width": 0.5}, IMAGES, MOMENTUM),
        "airbench": ({"name": "airbench", "channels": [16], "whiten_samples": 100}, MOVED, WITH_MUON),
        "lstm": ({"name": "char_rnn", "hidden": 24, "embedding": 12, "dropout": 0.2}, tokens, MOMENTUM),
        "gpt": (
            {"name": "gpt", "layers": 2, "heads": 2, "width": 24, "dropout": 0.1},
            tokens, {"name": "adamw", "lr": 1e-3},
        ),
    }  # fmt: skip
    found = {
        name: {
            "name": name,
            "seed": 3,
            "data": data,
            "model": model,
            "loss": "cross_entropy",
            "optimizer": optimizer,
            "train": TRAIN,
            "metrics": ["cross_entropy", "accuracy"],
        }
        for name, (model, data, optimizer) in models.items()
    }
    # In the Euclidean norm, as signs of gradients near 0 are chance.
    attack = {"name": "pgd", "epsilon": 0.5, "steps": 2, "norm": "l2"}
    found["attacked"] = {**changed(found["cnn"], attack=attack), "name": "attacked"}
    return found


def changed(config: Config, precision: str = "float32", **train: Any) -> Config:
    """The config in another precision, and with other values of ``train``."""
    config = copy.deepcopy(config)
    config["precision"] = precision
    config["train"] |= train
    return config


def trained(task: Task, specs: Mapping[Any, Mapping], limit: float, **options: Any) -> Iterator[tuple[Any, dict]]:
    """Train each spec (see ``gpu.training``) in turn, for ``limit`` s at most; yields its name and what came of it."""
    names = list(specs)
    texts = [json.dumps(spec) for spec in specs.values()]
    command = python("-m", "gpu.training")
    for name, (_, found) in zip(names, in_turn(command, texts, limit, task.until, cwd=ROOT, **options), strict=True):
        yield name, found


def trained_side_by_side(
    task: Task, groups: Sequence[Mapping[Any, Mapping]], limit: float, **options: Any
) -> Iterator[dict[Any, dict]]:
    """Like :func:`trained`, the groups of specs beside each other; yields what came of each group, as it ends."""
    with ThreadPoolExecutor(task.processes) as pool:
        running = [pool.submit(lambda group=group: dict(trained(task, group, limit, **options))) for group in groups]
        for ended in as_completed(running):
            yield ended.result()


def differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What two answers of ``gpu.training`` differ in, bit for bit: losses by step, weights by name."""
    pairs = zip(one["steps"], one["losses"], other["losses"], strict=True)
    steps = [step for step, a, b in pairs if a != b]
    found = [f"loss from step {steps[0]} on"] if steps else []
    return found + [name for name, digest in one["weights"].items() if other["weights"].get(name) != digest]


def first(names: Sequence[str], max_shown: int = 4) -> str:
    """The first of many, in words."""
    more = f" and {len(names) - max_shown} more" if len(names) > max_shown else ""
    return ", ".join(names[:max_shown]) + more
