"""Generative adversarial networks: what a config trains, measures, resumes, draws, exports and refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, models
from dlcourse.cli import main
from dlcourse.errors import ArgumentError, ConfigError, DivergenceError, ShapeError, UserError
from dlcourse.experiment import evaluate_run
from dlcourse.experiment.experiment import Experiment
from dlcourse.metrics.drawn import GoodShare, ModesFound

RING = {"name": "gaussian_ring", "samples": 400, "split": {"val": 100}}
MLP = {"name": "mlp", "hidden": [8]}
GAN = {"name": "gan", "latent": 2, "generator": MLP, "discriminator": MLP}
IMAGES = {"name": "synthetic_images", "samples": 60, "image_size": 8, "split": {"val": 20}, "normalize": "minmax"}
DCGAN = {
    "name": "gan",
    "latent": 4,
    "output": "sigmoid",
    "generator": {"name": "dcgan_generator", "channels": [6, 4]},
    "discriminator": {"name": "dcgan_discriminator", "channels": [4, 6]},
}


def config(model: dict = GAN, data: dict = RING, **more: Any) -> dict:
    adam = {"name": "adam", "lr": 1e-3, "betas": [0.5, 0.999]}
    train = {"steps": 12, "batch_size": 60, "eval_every": 1}
    return {"name": "two-players", "seed": 1, "data": data, "model": model, "optimizer": adam, "train": train} | more


def run(folder: Path, settings: dict, **more: Any) -> Any:
    return dl.run(settings, out=folder, quiet=True, **{"plots": False} | more)


@pytest.fixture(scope="module")
def of_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that draws images."""
    train = {"steps": 2, "batch_size": 20, "evaluate": ["val"]}
    return run(tmp_path_factory.mktemp("images"), config(DCGAN, IMAGES, train=train)).folder


def test_a_run_measures_both_players_and_what_they_draw(tmp_path: Path) -> None:
    result = run(tmp_path, config(metrics=["modes_found", "good_share"]), plots=True)
    names = ["loss", "discriminator", "generator", "score_real", "score_drawn", "modes_found", "good_share"]
    assert list(result.metrics["val"]) == names
    found = result.metrics["val"]
    assert found["loss"] == pytest.approx(found["discriminator"] + found["generator"], rel=1e-6)
    assert 0 <= found["good_share"] <= 1 and found["modes_found"] in range(9)
    assert evaluate_run(dl.load_run(result.folder)) == result.metrics
    assert {"players", "metrics", "samples", "samples_by_step"} == {
        path.stem for path in result.folder.glob("plots/*.png")
    }


@pytest.mark.parametrize(
    ("model", "data", "more"),
    [
        (GAN | {"discriminator": MLP | {"dropout": 0.2}}, RING, {"ema": 0.9, "accumulate": 2, "clip_norm": 1.0}),
        (DCGAN, IMAGES, {}),
    ],
)
def test_a_run_that_goes_on_is_the_same_run(model: dict, data: dict, more: dict, tmp_path: Path) -> None:
    schedule = {"name": "step", "step_size": 4}
    groups = [{"match": "discriminator", "lr": 3e-3}, {"match": "*.bias", "weight_decay": 0.1}]
    adam = {"name": "adam", "lr": 1e-3, "schedule": schedule, "groups": groups}
    train = {"steps": 6, "batch_size": 20, "evaluate": ["val"]} | more
    whole = run(tmp_path / "a", config(model, data, train=train, optimizer=adam))
    half = run(tmp_path / "b", config(model, data, train=train | {"steps": 3}, optimizer=adam))
    rest = dl.run(resume=half.folder, overrides={"train.steps": 6}, quiet=True, plots=False)
    assert rest.metrics == whole.metrics
    files = [(r.folder / "checkpoints/last.safetensors") for r in (whole, rest)]
    ours, theirs = (dl.load(file) for file in files)
    assert ours.keys() == theirs.keys() and any(name.startswith("train_step.players.generator") for name in ours)
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_groups_give_each_player_its_own_optimizer(tmp_path: Path) -> None:
    other = {"name": "sgd", "lr": 0.5}
    adam = {"name": "adam", "lr": 1e-3, "groups": [{"match": "discriminator", "optimizer": other}]}
    settings = dl.config.resolve(config(optimizer=adam))
    step = Experiment.from_config(settings, backend.get("cpu")).train_step()
    kinds = {player: type(each.optimizer.members[0]).__name__ for player, each in step.players.items()}
    assert kinds == {"discriminator": "SGD", "generator": "Adam"} and step.rates_at(0) == [0.5, 1e-3]


def test_samples_and_other_commands(of_images: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = str(of_images)
    assert main(["sample", folder, "--count", "4", "--seed", "1", "--out", str(tmp_path / "a.npz")]) == 0
    with np.load(tmp_path / "a.npz") as arrays:
        drawn = arrays["x"]
    assert drawn.shape == (4, 8, 8, 3) and 0 <= drawn.min() < drawn.max() <= 255
    model = dl.load_run(folder).model
    np.testing.assert_allclose(model.generate(4, 1).numpy() * 255, drawn, rtol=0.05, atol=4)
    assert not np.array_equal(model.generate(4, 1).numpy(), model.generate(4, 2).numpy())
    for wrong in (
        ["predict", folder, "1,2"],
        ["landscape", folder],
        ["run", folder + "/config.yaml", "--overfit-batch"],
    ):
        assert main(wrong) == 2
    capsys.readouterr()
    assert main(["show", folder]) == 0 and "what it draws with" in capsys.readouterr().out


def test_the_way_from_noise_to_images_in_onnx(of_images: Path, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    trained = dl.load_run(of_images)
    words = trained.export(tmp_path / "net.onnx")
    assert "it takes noise from N(0, 1)" in words
    noise = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    (found,) = ort.InferenceSession(str(tmp_path / "net.onnx")).run(None, {"input": noise})
    np.testing.assert_allclose(found, trained.model.eval().draw(dl.tensor(noise)).numpy(), atol=1e-5)
    with pytest.raises(UserError, match="what it takes is noise"):
        trained.export(tmp_path / "raw.onnx", with_normalization=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"name": "mse"}}, "the model gan has an objective of its own"),
        (
            {"metrics": ["accuracy"]},
            "by itself; leave them out .what a gan or vae draws is judged by: good_share, modes_found",
        ),
        ({"optimizer": {"name": "lbfgs"}}, "lbfgs searches along one cost, and the players of gan move in turn"),
        ({"optimizer": {"name": "closed_form"}}, "closed_form cannot fit the model gan"),
        ({"model": GAN | {"generator": {"name": "vae", "latent": 2}}}, "gan: generator: vae is no net for this"),
        ({"model": GAN | {"discriminator": {"name": "gpt"}}}, "gan: discriminator: gpt is no net for this"),
        ({"model": GAN | {"generator": DCGAN["generator"]}}, "an input is an image .*, got .2,."),
        (
            {"model": DCGAN["generator"], "loss": {"name": "cross_entropy"}},
            "makes images, as the generator of a model gan",
        ),
        ({"model": {"name": "gan", "latent": 2, "generator": MLP}}, "model.discriminator: required, but missing"),
        (
            {"model": GAN | {"generator": {"name": "mlp", "hiden": [3]}}},
            "model.generator.hiden: .*did you mean 'hidden'",
        ),
        ({"train": {"swa": {"start": 0.5}}}, "train.swa: the players of gan move in turn.*ema averages"),
        ({"train": {"freeze": ["generator"]}}, "train.freeze: leaves generator nothing to train"),
        ({"metrics": ["good_share"], "model": {"name": "pca", "latent": 1}}, "this one draws nothing"),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "groups": [{"match": "generater"}]}}, "generater"),
    ],
)
def test_what_does_not_go_together_is_refused(change: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, config(**change))


def test_an_output_that_never_gives_such_inputs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gan: output: sigmoid is for inputs in 0..1, got 0 to 255; .*minmax"):
        run(tmp_path, config(DCGAN, IMAGES | {"normalize": "none"}))


def test_a_plain_model_draws_nothing_to_judge(tmp_path: Path) -> None:
    plain = config({"name": "softmax"}, loss={"name": "cross_entropy"}, metrics=["good_share"])
    with pytest.raises(ConfigError, match="this one draws nothing; gan and vae do"):
        run(tmp_path, plain)


def test_halves_of_an_image() -> None:
    with pytest.raises(ShapeError, match="28 x 28 is no multiple of 8"):
        models.DCGANGenerator((4,), 784, [4, 4, 4], out_shape=(28, 28, 1))
    with pytest.raises(ArgumentError, match="has some channels"):
        models.DCGANGenerator((4,), 784, [], out_shape=(28, 28, 1))
    with pytest.raises(ShapeError, match="4 halvings leave nothing"):
        models.DCGANDiscriminator((8, 8, 3), 1, [2, 2, 2, 2])


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="training diverged at step"):
        run(tmp_path, config(GAN | {"loss": "least_squares"}, optimizer={"name": "sgd", "lr": 1e9}))


def test_modes_and_good_points_are_counted() -> None:
    y = np.arange(400) % 4
    centers = 5.0 * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    x = centers[y] + 0.1 * np.random.default_rng(0).normal(size=(400, 2))
    drawn = np.concatenate([x[y == 0][:50], x[y == 2][:1], np.zeros((49, 2))])
    assert GoodShare().measure(drawn, x, y) == pytest.approx(0.5, abs=0.02)
    assert ModesFound(share=0.02).measure(drawn, x, y) == 1 and ModesFound(share=0.0).measure(drawn, x, y) == 2
    assert ModesFound().measure(x, x, y) == 4 and GoodShare().measure(x, x, y) > 0.97
