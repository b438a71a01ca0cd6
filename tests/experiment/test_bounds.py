"""What asks for more than there can be is refused with the number, before anything is allocated or made."""

import time

import pytest

import dlcourse as dl
from dlcourse import experiment
from dlcourse.backend import memory
from dlcourse.errors import ArgumentError, ConfigError
from dlcourse.nn import init
from dlcourse.sweeps import run_sweep

BASE = {
    "name": "large",
    "device": "cpu",
    "data": {"name": "spirals", "samples": 60},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.1},
    "metrics": ["accuracy"],
    "train": {"steps": 2},
}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"data": {"name": "spirals", "samples": 10**12}}, "data.samples: 1,000,000,000,000 samples would take 72"),
        ({"data": {"name": "spirals", "samples": 10**15}}, "data.samples: expected a whole number of at most 1e+12"),
        ({"data": {"name": "gaussian_classes", "samples": 10**12}}, "data.samples: 1,000,000,000,000 samples would"),
        ({"data": {"name": "synthetic_images", "samples": 10**9}}, "data.samples: 1,000,000,000 samples would take"),
        ({"data": {"name": "synthetic_images", "image_size": 10**8}}, "data.samples: 6,000 samples would take"),
        ({"data": {"name": "spirals", "classes": 10**9}}, "data.classes: expected a whole number of at most 10000"),
        ({"model": {"name": "mlp", "hidden": [10**6, 10**7]}}, "model: a layer of 10000000 x 1000000 = 10,000,000,0"),
        ({"model": {"name": "mlp", "hidden": [10**12]}}, "model: a layer of 1000000000000 x 2 = 2,000,000,000"),
        ({"seed": 2**64 + 1}, "seed: expected a whole number of at most 18446744073709551615"),
        (
            {"data": {"name": "spirals", "seed": 2**64}},
            "data.seed: expected a whole number of at most 184467440737095516",
        ),
        ({"train": {"steps": 10**15}}, "train.steps: expected a whole number of at most 1e+12"),
        ({"train": {"log_every": 10**15}}, "train.log_every: expected a whole number of at most 1e+12"),
    ],
)
def test_what_no_memory_holds_is_refused_before_the_folder(tmp_path, sections, message) -> None:
    with pytest.raises(ConfigError) as caught:
        dl.run(BASE | sections, out=tmp_path, quiet=True)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_the_memory_of_training_is_counted_too(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "available", lambda: 100 << 20)
    monkeypatch.setattr(memory, "_MIN_CHECKED", 0)
    hidden = {"model": {"name": "mlp", "hidden": [2500, 2500, 2500]}}
    with pytest.raises(ConfigError, match="model: training 12,520,003 parameters would take 143 MiB"):
        dl.run(BASE | hidden, out=tmp_path, quiet=True)


def test_the_run_of_the_largest_seed_can_be_read_again(tmp_path) -> None:
    result = dl.run(BASE | {"seed": 2**64 - 1}, out=tmp_path, quiet=True, plots=False)
    assert experiment.load_run(result.folder).config.data["seed"] == 2**64 - 1
    assert dl.run(resume=result.folder, overrides={"train.steps": 3}, quiet=True, plots=False).status == "done"


def test_large_counts_that_cost_nothing_are_fine(tmp_path) -> None:
    train = {"steps": 2, "log_every": 4 * 10**9, "checkpoint_every": 10**9, "eval_every": 10**9, "batch_size": 10**9}
    assert dl.run(BASE | {"train": train}, out=tmp_path, quiet=True, plots=False).status == "done"


GRID = {"seed": list(range(100)), "train.steps": list(range(1, 101)), "optimizer.lr": [0.1 * i for i in range(1, 101)]}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"grid": GRID}, "sweep: 1,000,000 points: 100 (seed) x 100 (train.steps) x 100 (optimizer.lr); a sweep has"),
        ({"random": {"samples": 10**9, "space": {"seed": [1]}}}, "sweep.random.samples: expected a whole number of at"),
        ({"kfold": 10**9}, "sweep.kfold: expected a whole number of at most 100000, got 1000000000"),
        ({"resample": 10**9}, "sweep.resample: expected a whole number of at most 100000, got 1000000000"),
        ({"kfold": 10**4, "zip": {"seed": list(range(50))}}, "sweep: 500,000 points: 50 (seed) x 10,000 (data.kfold)"),
    ],
)
def test_points_are_counted_before_they_are_made(tmp_path, sweep, message) -> None:
    began = time.monotonic()
    for dry_run in (True, False):
        with pytest.raises(ConfigError) as caught:
            run_sweep(BASE | {"sweep": sweep}, out=tmp_path, dry_run=dry_run, quiet=True)
        assert message in str(caught.value)
    assert time.monotonic() - began < 20 and not list(tmp_path.iterdir())


def test_memory_that_is_left() -> None:
    left = memory.available()
    assert left is None or left > 1 << 20
    memory.require(1 << 50 if left is None else 1 << 20, "little")
    if left is not None:
        with pytest.raises(ArgumentError, match=r"much would take 1,024 TiB of memory, and .* are left"):
            memory.require(1 << 50, "much")
        with pytest.raises(ArgumentError, match="a layer of 10000000 x 1000000"):
            init.zeros((10**7, 10**6))
