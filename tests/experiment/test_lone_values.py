"""Batches in which batch norm would have one value a channel are found before the run; ``train.drop_last``."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, cli, nn, registry
from dlcourse.data import Loader, Normalizer, Split
from dlcourse.errors import ConfigError
from dlcourse.models.base import Model
from dlcourse.registry import register


class Normed(Model):
    def __init__(self, in_shape: tuple[int, ...], out_features: int, norm: bool = True):
        super().__init__(in_shape, out_features)
        norms = [nn.BatchNorm(4)] if norm else []
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(self.in_features, 4), *norms, nn.ReLU(), nn.Linear(4, 3))

    def forward(self, x: Any) -> Any:
        return self.layers(x)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    register("model", "t_normed")(Normed)
    yield
    del registry.registered["model"]["t_normed"]


CONFIG = {
    "name": "normed",
    "data": {"name": "spirals", "samples": 65, "split": {"train": 1.0}},
    "model": {"name": "t_normed"},
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "train": {"epochs": 2, "batch_size": 32, "evaluate": ["train"]},
    "metrics": ["accuracy"],
}
LEAVES = r"train.batch_size: 65 training samples in batches of 32 leave a last batch of one .*train.drop_last: true"
FOLDS = {"data.samples": 66, "data.kfold": {"folds": 66, "fold": 0}, "data.split": {}}
REFUSED = [
    ({}, LEAVES),
    ({"train.batch_size": 1}, "a batch of one sample, .*larger batch_size"),
    ({"train.batch_size": 13, "train.accumulate": 12}, "accumulate: 12 leaves a part of one sample of a batch of 13"),
    ({"train.steps": 3, "train.epochs": None}, LEAVES),
    (FOLDS, LEAVES),
    ({"data.samples": 81, "data.split": {"test": 16}}, LEAVES),
]
RUN = [
    {"train.drop_last": True},
    {"train.batch_size": 33},
    {"train.batch_size": "full"},
    {"train.batch_size": 13, "train.accumulate": 3},
    {"train.steps": 2, "train.epochs": None},
    {"model.norm": False},
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_a_batch_of_one_is_found_before_the_run(overrides: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        dl.run(CONFIG, overrides=overrides, out=tmp_path, quiet=True, plots=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("overrides", RUN)
def test_what_has_no_batch_of_one_runs(overrides: dict, tmp_path: Path) -> None:
    dl.run(CONFIG, overrides=overrides, out=tmp_path, quiet=True, plots=False)


def test_an_image_alone_has_values_enough(tmp_path: Path) -> None:
    images = {"data": {"name": "synthetic_images", "samples": 9, "classes": 3, "image_size": 8}}
    images["data"]["split"] = {"train": 1.0}
    net = {"model": {"name": "cnn", "channels": [2], "hidden": [], "kernel_size": 3, "batch_norm": True}}
    dl.run(CONFIG | images | net, overrides={"train.batch_size": 4}, out=tmp_path, quiet=True, plots=False)


def test_validate_finds_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import yaml

    path = tmp_path / "normed.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    assert cli.main(["validate", str(path)]) == 2
    assert "train.drop_last" in capsys.readouterr().err
    path.write_text(yaml.safe_dump(CONFIG | {"train": CONFIG["train"] | {"drop_last": True}}))
    assert cli.main(["validate", str(path)]) == 0


@pytest.mark.parametrize("device_resident", [True, False])
@pytest.mark.parametrize("shuffle", [True, False])
def test_the_last_batch_is_left_out(device_resident: bool, shuffle: bool, device: str) -> None:
    x = np.arange(70, dtype="float64").reshape(35, 2)
    if not device_resident:
        x = x.astype("uint8")[:, None, :, None]
    part = Split(x, np.arange(35), np.arange(35))
    settings = Normalizer.fit(x, "none"), backend.current(), np.float32, 8, 3, shuffle, None, True
    loader = Loader(part, *settings)
    assert (loader.steps_per_epoch, loader.samples_per_epoch, loader.samples) == (4, 32, 35)
    seen = [backend.to_host(loader.batch(step)[1]) for step in range(8)]
    assert {len(y) for y in seen} == {8}
    epochs = [set(np.concatenate(seen[start : start + 4]).tolist()) for start in (0, 4)]
    assert [len(epoch) for epoch in epochs] == [32, 32] and (epochs[0] != epochs[1]) == shuffle
    # Evaluation has all samples.
    assert sum(len(y) for _, y in loader.batches()) == 35
    assert sum(len(y) for _, y in loader.in_batches_of(8).batches()) == 35
    if loader.device_batches is not None:
        assert [loader.device_batches.steps_left(step) for step in range(5)] == [4, 3, 2, 1, 4]
        loader.device_batches.prepare(5)
        y = backend.current().xp.empty(8, dtype=loader.device_batches.y_dtype)
        new = backend.current().xp.empty(loader.device_batches.x_shape, dtype=loader.device_batches.x_dtype)
        loader.device_batches.write(5, new, y)
        np.testing.assert_array_equal(backend.to_host(y), seen[5])


def test_a_run_with_drop_last_goes_on_as_it_was(tmp_path: Path) -> None:
    overrides = {"train.drop_last": True, "train.epochs": 3, "train.checkpoint_every": 1}
    whole = dl.run(CONFIG, overrides=overrides, out=tmp_path, quiet=True, plots=False)
    half = dl.run(CONFIG, overrides=overrides | {"train.epochs": 2}, out=tmp_path, quiet=True, plots=False)
    longer = dl.run(None, resume=half.folder, overrides={"train.epochs": 3}, quiet=True, plots=False)
    for ours, theirs in zip(longer.model.parameters(), whole.model.parameters(), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert [line["samples"] for line in longer.history if line["step"] == 6][-1] == 3 * 64
