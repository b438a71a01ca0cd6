"""Configs of lecture 16 with two players in a reduced setting."""

from pathlib import Path

import numpy as np

from dlcourse.experiment.graph import draw_graph
from dlcourse.resources import configs_folder
from tests.configs.reduced import pictures, run

IMAGES = {"name": "synthetic_images", "samples": 60, "image_size": 8, "channels": 1, "split": {"val": 20}}
IMAGES |= {"normalize": "minmax"}


def test_clouds_on_a_ring(tmp_path: Path) -> None:
    changes = {"data__samples": 700, "data__split__val": 200, "train__steps": 100, "train__batch_size": 100}
    result = run("16_generative/gan_ring", tmp_path, **changes, model__generator__hidden=[16])
    assert np.isfinite(result.model.generate(200).numpy()).all()
    assert result.history["val.discriminator"].shape == (2,) and result.metrics["val"]["modes_found"] in range(9)
    assert {"players", "metrics", "samples", "samples_by_step"} <= pictures(result.folder)


def test_digits_of_a_dcgan(tmp_path: Path) -> None:
    nets = {"model__generator__channels": [6, 4], "model__discriminator__channels": [4, 6], "model__latent": 4}
    changes = {"train__epochs": 2, "train__batch_size": 20, "train__evaluate": ["val"]}
    result = run("16_generative/mnist_gan", tmp_path, data=IMAGES, **nets, **changes)
    drawn = result.model.generate(5).numpy()
    assert drawn.shape == (5, 8, 8, 1) and 0 < drawn.min() < drawn.max() < 1
    assert {"players", "samples", "samples_by_step"} <= pictures(result.folder)


def test_the_graph_has_the_costs_of_both_players() -> None:
    drawn = draw_graph(str(configs_folder() / "16_generative/gan_ring.yaml"), {"model.generator.hidden": [4]})
    assert drawn.graph is not None and not drawn.notes
    names = [node.name for node in drawn.graph.nodes]
    assert sum(name.startswith("model.discriminator.layers") for name in names) >= 3
