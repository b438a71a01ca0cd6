"""Models with an objective of their own: the equations, and how a config trains, measures, resumes and refuses them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dlcourse as dl
from dlcourse import backend, optim
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import random
from dlcourse.cli import main
from dlcourse.data import Normalizer
from dlcourse.errors import ConfigError, UserError
from dlcourse.experiment import evaluate_run
from dlcourse.experiment.generation import draw_images
from dlcourse.models import PCA, VAE, Autoencoder, Model
from dlcourse.registry import register

IMAGES = {"name": "synthetic_images", "samples": 300, "image_size": 8, "channels": 1, "split": {"val": 50, "test": 50}}
IMAGES |= {"normalize": "minmax"}
VAE_2 = {"name": "vae", "latent": 2, "hidden": [16]}


def config(model: dict, **more: Any) -> dict:
    """A short training on small synthetic images."""
    train = {"steps": 20, "batch_size": 50, "eval_every": 2}
    adam = {"name": "adam", "lr": 3e-3}
    return {"name": "coder", "seed": 1, "data": IMAGES, "model": model, "optimizer": adam, "train": train} | more


def run(folder: Path, settings: dict, **more: Any) -> Any:
    return dl.run(settings, out=folder, quiet=True, **{"plots": False} | more)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(12, 4, 4, 1)).astype("float32")


def test_the_cost_of_a_vae_is_its_equation(images: np.ndarray, device: str) -> None:
    dl.manual_seed(3)
    model, x = VAE((4, 4, 1), 10, latent=3, hidden=[5], beta=0.5).to(device=device), dl.tensor(images)
    found = {name: value.item() for name, value in model.objective_values(x, None, 7).items()}
    mean, log_variance = (part.numpy().astype("float64") for part in model.posterior(x))
    code = mean + np.exp(log_variance / 2) * backend.to_host(random.normal((12, 3), "vae/code", 7))
    p = model.decode(dl.tensor(code.astype("float32"))).numpy()
    cost = -(images * np.log(p) + (1 - images) * np.log(1 - p)).sum() / 12
    kl = (mean**2 + np.exp(log_variance) - 1 - log_variance).sum() / 24
    assert found == pytest.approx({"loss": cost + 0.5 * kl, "reconstruction": cost, "kl": kl}, rel=1e-5)
    assert model.objective(x, None, 7).item() == found["loss"] != model.objective(x, None, 8).item()


@pytest.mark.parametrize(("cls", "more"), [(VAE, {}), (Autoencoder, {"noise": 0.1})])
def test_gradients(cls: Any, more: dict, images: np.ndarray) -> None:
    dl.manual_seed(0)
    model, x = cls((4, 4, 1), 10, 3, [5], **more).to(dtype="float64"), Tensor(images.astype("float64"))
    model.train()
    dl.gradcheck(lambda *_: model.objective(x, None, 1), list(model.parameters()))


def test_pca_has_the_least_error_and_the_linear_autoencoder_finds_its_plane() -> None:
    dl.manual_seed(0)
    rng = np.random.default_rng(1)
    mixed = rng.normal(size=(400, 6)) * [3, 2, 1, 0.3, 0.2, 0.1] @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 1
    x = mixed.astype("float32")
    pca = PCA((6,), 1, latent=3)
    pca.fit(x, None)
    values = np.linalg.svd(mixed - mixed.mean(axis=0), compute_uv=False)
    least = (values[3:] ** 2).sum() / mixed.size
    assert pca.objective(Tensor(x), None, 0).item() == pytest.approx(least, rel=1e-4)
    model = Autoencoder((6,), 1, latent=3)
    step = dl.TrainStep(model, None, optim.Adam(model.parameters(), lr=0.01))
    for _ in range(1500):
        loss = step(x, x)
    assert least <= loss.item() < 1.05 * least
    plane, _ = np.linalg.qr(model.decoder[0].weight.numpy())
    assert np.linalg.svd(pca.components.numpy() @ plane, compute_uv=False).min() > 0.999


def test_a_run_measures_the_parts_and_keeps_what_plots_show(tmp_path: Path) -> None:
    result = run(tmp_path, config(VAE_2), plots=True)
    assert {split: list(values) for split, values in result.metrics.items()} == dict.fromkeys(
        ("train", "val", "test"), ["loss", "reconstruction", "kl"]
    )
    for values in result.metrics.values():
        assert values["loss"] == pytest.approx(values["reconstruction"] + values["kl"], rel=1e-5)
    with np.load(result.folder / "predictions.npz") as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files if name != "facts"}
    size = result.model.in_shape
    assert shapes == {
        "originals": (10, *size),
        "reconstructions": (10, *size),
        "codes": (50, 2),
        "code_labels": (50,),
        "samples": (100, *size),
        "latent_plane": (20, 20, *size),
    }
    drawn = sorted(path.stem for path in result.folder.glob("plots/*.png"))
    assert drawn == ["latent_codes", "latent_plane", "loss", "metrics", "reconstructions", "samples", "samples_by_step"]
    again = dl.load_run(result.folder)
    assert evaluate_run(again) == result.metrics
    with pytest.raises(UserError, match="the model vae predicts no targets"):
        again.predict(np.zeros((1, *size)))


@pytest.mark.parametrize("white", [255, 1])
def test_examples_are_shown_as_the_data_have_them(white: int, images: np.ndarray) -> None:
    images = (images / images.max()).round(1)
    normalizer = Normalizer(np.array([0.3 * white]), np.array([0.2 * white]))
    given = normalizer.apply(images * white, "float32")
    found = Autoencoder((4, 4, 1), 10, latent=2).example_arrays(given, np.zeros(12), normalizer)
    assert given.min() < -1 and found["reconstructions"].shape == (10, 4, 4, 1)
    np.testing.assert_allclose(found["originals"], images[:10], atol=1e-6)


def test_samples_are_images(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = str(run(tmp_path, config(VAE_2)).folder)
    for name in ("a.png", "b.npz"):
        assert main(["sample", folder, "--count", "5", "--out", str(tmp_path / name)]) == 0
        assert "5 images of 8 x 8 pixels" in capsys.readouterr().out
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (3 * 10 - 2, 2 * 10 - 2)
    with np.load(tmp_path / "b.npz") as arrays:
        drawn = arrays["x"]
    assert drawn.shape == (5, 8, 8, 1) and 0 <= drawn.min() < drawn.max() <= 255 and drawn.max() > 100
    np.testing.assert_allclose(dl.load_run(folder).model.generate(5).numpy() * 255, drawn, rtol=0.05, atol=3)
    for wrong, message in (
        (["--out", "x.gif"], "expected a name that ends in .png or .npz"),
        (["--count", "0"], "count is at least 1"),
        (["--top-k", "3"], "--top-k is for models of a text"),
        (["hello"], "a text is for models of a text"),
    ):
        assert main(["sample", folder, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_a_model_of_targets_draws_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    settings = config({"name": "softmax"}, loss={"name": "cross_entropy"}, metrics=["accuracy"])
    assert main(["sample", str(run(tmp_path, settings).folder)]) == 2
    assert "generates nothing" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="train.samples: the model softmax draws nothing from these data"):
        run(tmp_path, settings, overrides={"train.samples": 5})


def test_a_run_whose_model_cannot_draw_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Tensor:
        raise RuntimeError("no numbers")

    monkeypatch.setattr(VAE, "generate", fails)
    monkeypatch.setattr(VAE, "plot_arrays", fails)
    folder = run(tmp_path, config(VAE_2)).folder
    log, result = (folder / "log.txt").read_text(), json.loads((folder / "result.json").read_text())
    for without in ("samples at step 20", "samples for the plots", "arrays of the model for the plots"):
        assert f" no {without}: RuntimeError: no numbers\n" in log
    assert (result["status"], result["step"]) == ("done", 20)
    with np.load(folder / "predictions.npz") as arrays:
        assert "originals" in arrays and "samples" not in arrays
    with pytest.raises(UserError, match="not everything worked: no arrays of the model for the plots: RuntimeError"):
        run(tmp_path, config(VAE_2), fast_dev_run=True)


@pytest.mark.parametrize("model", [VAE_2, {"name": "autoencoder", "latent": 2, "noise": 0.2}])
def test_a_run_that_goes_on_is_the_same_run(model: dict, tmp_path: Path) -> None:
    whole = run(tmp_path / "a", config(model))
    half = run(tmp_path / "b", config(model), overrides={"train.steps": 10})
    generates = model["name"] == "vae"
    assert kept(half.folder) == (["step-10.npz", "step-8.npz"] if generates else [])
    rest = dl.run(resume=half.folder, overrides={"train.steps": 20}, quiet=True, plots=False)
    assert rest.metrics == whole.metrics
    assert (
        kept(rest.folder) == kept(whole.folder) == (["step-16.npz", "step-20.npz", "step-8.npz"] if generates else [])
    )
    for name in kept(whole.folder):
        assert (whole.folder / "samples" / name).read_bytes() == (rest.folder / "samples" / name).read_bytes()


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("samples/*"))


def test_how_many_samples_are_kept(tmp_path: Path) -> None:
    few = run(tmp_path, config(VAE_2), overrides={"train.samples": 3}).folder
    with np.load(few / "samples" / "step-20.npz") as arrays:
        assert arrays["x"].shape == (3, 8, 8, 1) and arrays["x"].dtype == np.uint8
    trained = dl.load_run(few)
    np.testing.assert_allclose(np.load(few / "samples" / "step-20.npz")["x"], draw_images(trained, 3), atol=0.51)
    assert not (run(tmp_path, config(VAE_2), overrides={"train.samples": 0}).folder / "samples").exists()
    dl.run(config(VAE_2), resume=few, overrides={"train.steps": 22}, quiet=True, plots=False)
    assert (few / "samples" / "step-22.npz").exists(), "how many are kept changes no step"


def test_microbatches_draw_noise_of_their_own_and_add_up(images: np.ndarray) -> None:
    """Of an objective without draws the steps are the same; with them each part has other noise."""

    def weights(noise: float, accumulate: int) -> np.ndarray:
        dl.manual_seed(0)
        model = Autoencoder((4, 4, 1), 1, latent=3, noise=noise)
        dl.TrainStep(model, None, optim.SGD(model.parameters(), lr=0.1), accumulate=accumulate)(doubled, doubled)
        return np.concatenate([p.numpy().ravel() for p in model.parameters()])

    doubled = np.concatenate([images, images])
    np.testing.assert_allclose(weights(0, 2), weights(0, 1), atol=1e-6)
    random.begin_step(4)
    first = random.normal((3,), "a", 4)
    random.begin_microbatch(1)
    assert not np.array_equal(first, random.normal((3,), "a", 4))
    random.begin_step(4)
    np.testing.assert_array_equal(first, random.normal((3,), "a", 4))
    assert np.abs(weights(1, 2) - weights(1, 1)).max() > 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"name": "mse"}}, "loss: the model vae has an objective of its own; leave it out"),
        ({"metrics": ["accuracy"]}, "metrics: the model vae measures loss, reconstruction, kl by itself"),
        ({"ensemble": 3}, "ensemble: averages predictions, and the model vae makes none"),
        ({"optimizer": {"name": "closed_form"}}, "closed_form cannot fit the model vae"),
    ],
)
def test_what_does_not_go_with_an_objective_is_refused(change: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, config(VAE_2, **change))


def test_a_vae_wants_inputs_in_0_to_1(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"vae: takes inputs in 0..1, got .*minmax"):
        run(tmp_path, config(VAE_2, data=IMAGES | {"normalize": "standardize"}))


def test_early_stopping_by_a_part(tmp_path: Path) -> None:
    stopping = {"metric": "kl", "split": "val", "patience": 1}
    train = {"epochs": 30, "batch_size": 50, "early_stopping": stopping}
    result = run(tmp_path, config(VAE_2, train=train))
    assert result.metrics["val"]["kl"] > 0


@pytest.mark.parametrize("precision", ["float64", "bf16", "fp16"])
def test_other_precisions(precision: str, tmp_path: Path) -> None:
    steps = {"train.steps": 60}  # of which float16 loses some to its loss scale
    each = (config(VAE_2, precision=name) for name in ("float32", precision))
    full, other = (run(tmp_path / str(i), settings, overrides=steps) for i, settings in enumerate(each))
    assert other.metrics["test"]["loss"] == pytest.approx(full.metrics["test"]["loss"], rel=0.02)


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    """An objective alone is enough: the target may be looked at, and the cost is measured as the loss."""

    @register("model", "own_objective_model")
    class Own(Model):
        def __init__(self, in_shape: tuple[int, ...], out_features: int):
            super().__init__(in_shape, out_features)
            self.layer = dl.nn.Linear(self.in_features, out_features)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.flatten(1))

        def objective(self, x: Tensor, y: Any, step: Any) -> Tensor:
            return dl.functional.cross_entropy(self(x), y)

    own = run(tmp_path, config({"name": "own_objective_model"}))
    plain = run(tmp_path, config({"name": "softmax"}, loss={"name": "cross_entropy"}, metrics=["cross_entropy"]))
    assert list(own.metrics["test"]) == ["loss"]
    assert own.metrics["test"]["loss"] == pytest.approx(plain.metrics["test"]["cross_entropy"], rel=0.3)


def test_a_step_without_loss_wants_an_objective() -> None:
    model = dl.nn.Linear(2, 2)
    with pytest.raises(TypeError, match="or a model with an objective of its own, got None and a Linear"):
        dl.TrainStep(model, None, optim.SGD(model.parameters(), lr=0.1))


def test_normal_numbers_are_the_quantiles_on_each_device(device: str) -> None:
    drawn = backend.to_host(random.normal((200, 100), "a", 5))
    here = random.normal((200, 100), "a", 5, backend.get("cpu"))
    np.testing.assert_array_equal(drawn, here)
    assert drawn.dtype == np.float32 and abs(drawn.mean()) < 0.02 and abs(drawn.std() - 1) < 0.02
    with no_grad():
        assert not np.array_equal(drawn, backend.to_host(random.normal((200, 100), "a", 6)))
