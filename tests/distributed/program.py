"""Run under ``mpirun``: each config on all ranks together, and by one process alone; writes how far they differ.

``program.py OUT CASE ...``: rank 0 writes ``OUT/result.json``, of each case the largest difference of a weight, of a
metric and of a loss.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import dlcourse as dl
from dlcourse.backend import collectives
from dlcourse.distributed.world import world

IMAGES = {"name": "synthetic_images", "samples": 64, "image_size": 8}
TRAIN = {"steps": 4, "batch_size": 16, "log_every": 1}
MLP = {"name": "mlp", "hidden": [16], "batch_norm": True, "dropout": 0.3}
SGD = {"name": "sgd", "lr": 0.05, "momentum": 0.9}


def classify(model, optimizer=SGD, loss="cross_entropy", data=IMAGES, metrics=("accuracy", "cross_entropy"), **train):
    return {
        "data": data,
        "model": model,
        "loss": loss,
        "optimizer": optimizer,
        "train": {**TRAIN, **train},
        "metrics": list(metrics),
    }


CASES = {
    "batch norm and dropout": classify(MLP),
    "a last batch of 4": classify(MLP, batch_size=20),
    "fewer samples than ranks": classify({**MLP, "batch_norm": False}, batch_size=31, steps=6),
    "fewer samples than ranks, normalized": classify({**MLP, "dropout": 0.0}, batch_size=62, steps=3),
    "microbatches": classify(MLP, accumulate=2),
    "a sum": classify(MLP, loss={"name": "cross_entropy", "reduction": "sum"}, optimizer={"name": "sgd", "lr": 1e-3}),
    "penalties, clipping, average": classify(MLP, l2=1e-3, clip_norm=0.5, ema=0.9),
    "mean of weights": classify(MLP, swa={"start": 0.25, "every": 0.25}),
    "whole batch": classify(MLP, batch_size="full"),
    "residual net, augmented": classify(
        {"name": "resnet", "depth": 8, "width": 4},
        data={**IMAGES, "augment": {"flip": True, "crop": 1}},
    ),
    "muon": classify(
        MLP, optimizer={**SGD, "groups": [{"match": "*", "ndim": 2, "optimizer": {"name": "muon", "lr": 0.01}}]}
    ),
    "line search": classify({"name": "softmax"}, optimizer={"name": "lbfgs", "lr": 1.0}, batch_size="full"),
    "best weights": classify(
        MLP,
        data={**IMAGES, "split": {"val": 16}},
        epochs=4,
        steps=None,
        early_stopping={"metric": "accuracy", "split": "val", "patience": 1},
    ),
    "float16": {**classify(MLP), "precision": "fp16"},
    "objective": {
        "data": {"name": "synthetic_images", "samples": 64, "image_size": 8, "normalize": "minmax"},
        "model": {"name": "vae", "hidden": [16], "latent": 3},
        "optimizer": {"name": "adam", "lr": 1e-3},
        "train": TRAIN,
    },
    "two players": {
        "data": {"name": "synthetic_images", "samples": 64, "image_size": 8, "normalize": "minmax"},
        "model": {
            "name": "gan",
            "latent": 3,
            "generator": {"name": "mlp", "hidden": [16], "batch_norm": True},
            "discriminator": {"name": "mlp", "hidden": [16], "dropout": 0.2},
        },
        "optimizer": {"name": "adam", "lr": 1e-3},
        "train": TRAIN,
    },
    "closed form": {
        "data": {"name": "sine_curve", "split": {"val": 5}},
        "model": {"name": "polynomial", "degree": 3},
        "loss": "mse",
        "optimizer": "least_squares",
        "metrics": ["mse"],
    },
}


TOLERANCE = {"line search": 1e-3, "float16": 5e-3}
"""Relative; a line search amplifies rounding, 16 bits round more."""


def allowed(name):
    """How far a case may differ."""
    return TOLERANCE.get(name, 2e-6)


def difference(one, other):
    """The largest difference, relative to the largest number where that is above 1."""
    one, other = (np.asarray(each, dtype=np.float64) for each in (one, other))
    return float(np.abs(one - other).max() / max(1.0, np.abs(other).max())) if one.size else 0.0


def main(out, *names):
    world()
    group = collectives.group()
    found = {}
    for name in names or CASES:
        with tempfile.TemporaryDirectory() as place:
            settings = {"device": "cpu", "out": place, "quiet": True, "plots": False}
            together = dl.run(CASES[name], **settings)
            if group.rank:
                continue
            with collectives.alone():
                by_itself = dl.run(CASES[name], **settings)
            ours, theirs = (each.model.state_dict() for each in (together, by_itself))
            found[name] = {
                "weights": max(difference(ours[key], theirs[key]) for key in theirs),
                "metrics": max(
                    difference(together.metrics[split][label], value)
                    for split, values in by_itself.metrics.items()
                    for label, value in values.items()
                ),
                "losses": difference(together.history["loss"], by_itself.history["loss"]),
            }
    if not group.rank:
        Path(out, "result.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
