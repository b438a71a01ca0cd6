"""Diffusion: the closed forms of adding noise, the samplers against them, training, resuming, samples."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend
from dlcourse.autograd import Tensor
from dlcourse.backend import random
from dlcourse.cli import main
from dlcourse.errors import ArgumentError, ConfigError, ShapeError, UserError
from dlcourse.models import Diffusion, NoiseSchedule

POINTS = {"name": "spirals", "samples": 300, "normalize": "standardize", "split": {"test": 60}}
NET = {"name": "diffusion", "hidden": [16], "steps": 50, "sampler_steps": 10}


def config(**more: Any) -> dict:
    train = {"steps": 12, "batch_size": 60, "eval_every": 2, "ema": 0.9}
    adam = {"name": "adam", "lr": 3e-3}
    return {"name": "noise", "seed": 1, "data": POINTS, "model": NET, "optimizer": adam, "train": train} | more


def run(folder: Path, settings: dict, **more: Any) -> Any:
    return dl.run(settings, out=folder, quiet=True, **{"plots": False} | more)


def test_the_schedules_are_those_of_the_papers() -> None:
    linear = NoiseSchedule.named("linear", 1000)
    np.testing.assert_allclose(linear.betas, np.linspace(1e-4, 0.02, 1000), rtol=1e-9)
    assert linear.alpha_bar[-1] == pytest.approx(4.0358e-5, rel=1e-3)  # Ho et al. 2020: nearly nothing is left
    cosine = NoiseSchedule.named("cosine", 1000)
    assert cosine.alpha_bar[500] == pytest.approx(
        np.cos(0.508 / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    )
    assert cosine.betas[-1] == pytest.approx(0.999) and (np.diff(cosine.alpha_bar) < 0).all()
    assert NoiseSchedule.named("linear", 100).alpha_bar[-1] == pytest.approx(linear.alpha_bar[-1], rel=0.5)
    assert NoiseSchedule.named("linear", 7).times(7) == [7, 6, 5, 4, 3, 2, 1, 0]
    assert NoiseSchedule.named("linear", 1000).times(4) == [1000, 750, 500, 250, 0]


def test_one_step_at_a_time_comes_to_the_closed_form(device: str) -> None:
    """Mean and variance of x_t given x_0, by x_t = sqrt(1 - beta_t) x_(t-1) + sqrt(beta_t) e and as ``noised``."""
    model = Diffusion((2,), 1, steps=50, hidden=[4]).to(device=device)
    mean, variance = 1.0, 0.0
    for beta in model.schedule.betas[:30]:
        mean, variance = np.sqrt(1 - beta) * mean, (1 - beta) * variance + beta
    assert mean**2 == pytest.approx(model.schedule.alpha_bar[30]) and variance == pytest.approx(1 - mean**2)
    x = backend.of(model.signal).asarray(np.full((20_000, 2), 3.0, "float32"))
    t = backend.of(x).asarray(np.full(len(x), 30))
    drawn = backend.to_host(model.noised(x, t, random.normal(x.shape, "a", 0)))
    np.testing.assert_allclose(drawn.mean(axis=0), 3 * mean, atol=0.02)
    np.testing.assert_allclose(drawn.var(axis=0), variance, atol=0.02)


def test_the_posterior_is_that_of_two_gaussians() -> None:
    """q(x_s | x_t, x_0) by the product of q(x_t | x_s) and q(x_s | x_0), completed to a square."""
    schedule = NoiseSchedule.named("linear", 40)
    for t, s in ((1, 0), (2, 1), (30, 29), (40, 10)):
        kept = schedule.alpha_bar[t] / schedule.alpha_bar[s]
        own = 1 - schedule.alpha_bar[s]
        variance = 0.0 if not s else 1 / (kept / (1 - kept) + 1 / own)
        a = 1.0 if not s else variance * np.sqrt(schedule.alpha_bar[s]) / own
        b = variance * np.sqrt(kept) / (1 - kept)
        np.testing.assert_allclose(schedule.posterior(t, s), (a, b, variance), rtol=1e-9, atol=1e-12)
    beta, bar = schedule.betas[29], schedule.alpha_bar
    assert schedule.posterior(30)[2] == pytest.approx((1 - bar[29]) / (1 - bar[30]) * beta)


@pytest.mark.parametrize("clip", [False, True])
def test_a_step_of_ddpm_draws_from_the_posterior(clip: bool, device: str) -> None:
    """DDIM's step with eta = 1, to t - 1 and further, has the posterior's mean and variance; with eta = 0 no noise."""
    model = Diffusion((3,), 1, steps=40, hidden=[4], clip=clip).to(device=device)
    model.adapt(np.array([-1.0, 1.0]), None)
    rng = np.random.default_rng(0)
    x, found, z = (backend.of(model.signal).asarray(rng.normal(size=(5, 3))) for _ in range(3))
    for t, s in ((40, 39), (40, 20), (3, 2)):
        bar = model.schedule.alpha_bar[t]
        start = (x - np.sqrt(1 - bar) * found) / np.sqrt(bar)
        start = start.clip(-1, 1) if clip else start
        a, b, variance = model.schedule.posterior(t, s)
        expected = backend.to_host(a * start + b * x)
        np.testing.assert_allclose(backend.to_host(model.denoised(x, found, t, s, 1.0, 0 * z)), expected, atol=1e-6)
        moved = model.denoised(x, found, t, s, 1.0, z) - model.denoised(x, found, t, s, 1.0, 0 * z)
        np.testing.assert_allclose(backend.to_host(moved), np.sqrt(variance) * backend.to_host(z), rtol=1e-5)
        noise = (x - np.sqrt(bar) * start) / np.sqrt(1 - bar)
        after = model.schedule.alpha_bar[s]
        np.testing.assert_allclose(
            backend.to_host(model.denoised(x, found, t, s, 0.0, z)),
            backend.to_host(np.sqrt(after) * start + np.sqrt(1 - after) * noise),
            atol=1e-6,
        )


class Gaussian(Diffusion):
    """The net that is best for data N(mean, scale^2): eps = sqrt(1 - abar) (x - sqrt(abar) mean) / Var x_t."""

    MEAN, SCALE = 0.7, 0.4

    def forward(self, x: Tensor, t: Any = None) -> Tensor:
        bar = float(self.schedule.alpha_bar[int(t[0])])
        return (x - float(np.sqrt(bar)) * self.MEAN) * float(np.sqrt(1 - bar) / (bar * self.SCALE**2 + 1 - bar))


@pytest.mark.parametrize(("sampler", "steps"), [("ddpm", 200), ("ddim", 200), ("ddim", 20)])
def test_the_best_net_for_gaussian_data_draws_gaussian_data(sampler: Any, steps: int) -> None:
    """As each step is linear in x, mean and variance of the samples follow step by step; in many steps they are the
    data's."""
    model = Gaussian((2,), 1, steps=200, hidden=[4], clip=False)
    mean, variance = 0.0, 1.0
    times = model.schedule.times(steps)
    for t, s in itertools.pairwise(times):
        eta = float(sampler == "ddpm")
        at = [model.denoised(x, model(Tensor(x), [t]).data, t, s, eta, None) for x in (np.zeros(1), np.ones(1))]
        slope, added = float(at[1][0] - at[0][0]), eta**2 * model.schedule.posterior(t, s)[2]
        mean, variance = float(at[0][0]) + slope * mean, slope**2 * variance + added
    drawn = model.generate(20_000, sampler=sampler, steps=steps).numpy()
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.01)
    np.testing.assert_allclose(drawn.std(axis=0), np.sqrt(variance), atol=0.01)
    if steps == 200:
        np.testing.assert_allclose((mean, np.sqrt(variance)), (model.MEAN, model.SCALE), atol=0.02)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_objective_and_its_gradient_are_pytorchs(prediction_type: Any) -> None:
    torch = pytest.importorskip("torch")
    from dlcourse.interop.torch import load_torch_state_dict
    from tests.interop.twins import FORWARD, twin

    dl.manual_seed(3)
    model = Diffusion((8, 8, 1), 1, channels=[8, 16], steps=100, prediction_type=prediction_type)
    x = np.random.default_rng(0).normal(size=(6, 8, 8, 1)).astype("float32")
    whole = twin(model, FORWARD["diffusion"])
    for parameter in whole.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    load_torch_state_dict(model, whole.state_dict())
    other = whole.net
    loss = model.objective(dl.tensor(x), None, 7)
    loss.backward()
    t = 1 + (random.uniform((6,), "diffusion/time", 7) * 100).astype("int64")
    noise = torch.tensor(random.normal(x.shape, "diffusion/noise", 7))
    bar = torch.tensor(model.schedule.alpha_bar[t]).reshape(-1, 1, 1, 1)
    noisy = (bar.sqrt() * torch.tensor(x) + (1 - bar).sqrt() * noise).float()
    found = other(noisy.permute(0, 3, 1, 2), torch.tensor(t) * 10.0)
    target = noise if prediction_type == "epsilon" else bar.sqrt() * noise - (1 - bar).sqrt() * torch.tensor(x)
    theirs = ((target.permute(0, 3, 1, 2) - found) ** 2).mean()
    theirs.backward()
    assert loss.item() == pytest.approx(theirs.item(), rel=1e-4)
    ours = {name: p.grad.numpy() for name, p in model.net.named_parameters()}
    for name, parameter in other.named_parameters():
        grad = parameter.grad.numpy()
        grad = grad.transpose(0, 2, 3, 1) if grad.ndim == 4 else grad
        np.testing.assert_allclose(ours[name], grad, rtol=2e-3, atol=2e-5 * max(1, np.abs(grad).max()), err_msg=name)


def test_a_net_of_v_says_the_noise_and_begins_at_its_mean() -> None:
    """The noise is found from v at each step; where all is noise, x_0^ is -v: no error is divided by 5e-5."""
    model = Diffusion((2,), 1, schedule="cosine", hidden=[8], prediction_type="v_prediction", clip=False)
    rng = np.random.default_rng(0)
    x0, noise, t = rng.normal(size=(5, 2)), rng.normal(size=(5, 2)), np.array([1, 100, 500, 900, 999])
    signal, size = model._sizes(t, 2)
    model._found = lambda x, t: Tensor(signal * noise - size * x0)  # type: ignore[method-assign]
    np.testing.assert_allclose(model(Tensor(model.noised(x0, t, noise)), t).numpy(), noise, rtol=1e-6, atol=1e-7)
    mean = np.full((5, 2), 0.7)
    model._found = lambda x, t: Tensor(-mean)  # type: ignore[method-assign]
    found = model(Tensor(noise), np.full(5, 1000)).numpy()
    np.testing.assert_allclose(model.denoised(noise, found, 1000, 0, 0.0, None), mean, atol=1e-3)


def test_16_bits_round_v_and_not_the_noise_found_from_it() -> None:
    """x_0^ of x_T is -v up to the rounding of v: that of the noise would be divided by 5e-5."""
    model = Diffusion((2,), 1, schedule="cosine", hidden=[8], prediction_type="v_prediction", clip=False).to("float16")
    x = np.random.default_rng(0).normal(size=(5, 2)).astype("float32")
    v = model._found(Tensor(x.astype("float16")), np.full(5, 1000)).numpy()
    start = model.denoised(x, model(Tensor(x), np.full(5, 1000)).numpy(), 1000, 0, 0.0, None)
    np.testing.assert_allclose(start, -v.astype("float32"), atol=2e-3)


def test_the_net_of_vectors_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    from tests.interop.twins import twin

    net = Diffusion((3,), 1, hidden=[6, 4], frequencies=2).net
    other = twin(net)
    other.load_state_dict({name: torch.tensor(array) for name, array in net.state_dict().items()})
    x, t = np.random.default_rng(0).normal(size=(5, 3)).astype("float32"), np.array([1.0, 3.0, 50.0, 700.0, 1000.0])
    found, expected = net(dl.tensor(x), t).numpy(), other(torch.tensor(x), torch.tensor(t).float()).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_gradients() -> None:
    dl.manual_seed(0)
    model = Diffusion((3,), 1, hidden=[5, 4], frequencies=2).to(dtype="float64").train()
    x = Tensor(np.random.default_rng(0).normal(size=(3, 3)))
    dl.gradcheck(lambda *_: model.objective(x, None, 1), list(model.parameters()))


def test_a_run_goes_on_as_the_same_run_and_keeps_what_plots_show(tmp_path: Path) -> None:
    whole = run(tmp_path / "a", config(), plots=True)
    half = run(tmp_path / "b", config(), overrides={"train.steps": 8})
    rest = dl.run(resume=half.folder, overrides={"train.steps": 12}, quiet=True, plots=False)
    assert rest.metrics == whole.metrics and set(whole.metrics["test"]) == {"loss"}
    for name in ("step-8.npz", "step-12.npz"):
        assert (whole.folder / "samples" / name).read_bytes() == (rest.folder / "samples" / name).read_bytes()
    with np.load(whole.folder / "predictions.npz") as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files if name != "facts"}
    assert shapes == {
        "noised": (6, 60, 2),
        "noised_steps": (6,),
        "denoised": (5, 1000, 2),
        "denoised_steps": (5,),
        "denoising_paths": (11, 60, 2),
        "samples": (1000, 2),
    }
    drawn = {path.stem for path in whole.folder.glob("plots/*.png")}
    assert drawn >= {"noising", "denoising", "denoising_paths", "samples", "samples_by_step"}


def test_samples_are_a_function_of_the_seed_and_come_from_the_average(tmp_path: Path, capsys, monkeypatch) -> None:
    folder = str(run(tmp_path, config()).folder)

    def sampled(*options: str) -> np.ndarray:
        assert main(["sample", folder, "--count", "5", "--out", str(tmp_path / "x.npz"), *options]) == 0
        assert "5 samples of 2 numbers" in capsys.readouterr().out
        with np.load(tmp_path / "x.npz") as arrays:
            return arrays["x"]

    first = sampled("--sampler", "ddim", "--steps", "5", "--seed", "1")
    np.testing.assert_array_equal(first, sampled("--sampler", "ddim", "--steps", "5", "--seed", "1"))
    others = [["--seed", "2"], ["--seed", "1", "--steps", "6"], ["--seed", "1", "--eta", "0.5"]]
    assert all(not np.array_equal(first, sampled("--steps", "5", *more)) for more in others)
    np.testing.assert_array_equal(sampled("--sampler", "ddpm"), sampled("--sampler", "ddpm", "--steps", "50"))
    with np.load(Path(folder) / "predictions.npz") as arrays:  # all in the data's own units
        for ends in (arrays["denoised"][-1], arrays["denoising_paths"][-1]):
            np.testing.assert_allclose(ends[:5], arrays["samples"][:5], atol=1e-5)
    trained = dl.load_run(folder)
    scale, shift = trained.normalizer.scale, trained.normalizer.shift
    np.testing.assert_allclose(trained.model.generate(5, 0).numpy() * scale + shift, sampled(), atol=1e-5)
    np.testing.assert_allclose(
        trained.model.generate(90_000, 0).numpy()[:5], trained.model.generate(5, 0).numpy(), atol=1e-5
    )
    monkeypatch.chdir(tmp_path)
    assert main(["sample", folder, "--count", "3", "--steps", "5"]) == 0 and (tmp_path / "samples.npz").is_file()
    for wrong, message in (
        (["--out", "a.png"], "inputs of shape (2,) are no images; take a name in .npz"),
        (["--steps", "51"], "a sampler takes 1 to 50 steps"),
        (["--steps", "many"], "expected whole numbers"),
        (["--steps", "5,6"], "several numbers go with --judge"),
        (["--eta", "2"], "eta is 0 to 1"),
        (["--temperature", "1"], "--temperature is for models of a text"),
    ):
        assert main(["sample", folder, *wrong]) == 2
        assert message in capsys.readouterr().err


def test_images_and_half_precision(tmp_path: Path) -> None:
    images = {"name": "synthetic_images", "samples": 200, "image_size": 8, "channels": 1, "split": {"test": 40}}
    images |= {"normalize": "standardize"}
    model = {"name": "diffusion", "channels": [4, 8], "steps": 20, "sampler_steps": 4, "schedule": "cosine"}
    losses = {}
    for precision in ("float32", "bf16"):
        found = run(tmp_path / precision, config(data=images, model=model, precision=precision))
        losses[precision] = found.metrics["test"]["loss"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.02)
    with np.load(found.folder / "samples" / "step-12.npz") as arrays:
        assert arrays["x"].shape == (10, 8, 8, 1) and arrays["x"].dtype == np.uint8


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"channels": [4, 8, 8, 8]}, ShapeError, "sides that 8 divides, got images of 12 x 12"),
        ({"patch": 5}, ShapeError, "sides that 10 divides"),
        ({"channels": []}, ArgumentError, "at least one level"),
        ({"steps": 10, "sampler_steps": 50}, ArgumentError, "1 to 10 steps of this diffusion, got 50"),
    ],
)
def test_settings_that_do_not_fit(settings: dict, kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        Diffusion((12, 12, 1), 1, **settings)


def test_a_loss_beside_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="loss: the model diffusion has an objective of its own") as error:
        run(tmp_path, config(loss={"name": "mse"}))
    assert "mse is for regression" not in str(error.value)


@pytest.mark.parametrize(("normalize", "size"), [("none", "got 1[0-9]{2}"), ("mean_image", "got [0-9]{2}")])
def test_inputs_that_drown_the_noise_are_refused(normalize: str, size: str, tmp_path: Path) -> None:
    """Bytes are some hundred times as large as the noise: an image would hardly be noised at most steps."""
    images = {"name": "synthetic_images", "samples": 50, "image_size": 8, "channels": 1, "normalize": normalize}
    with pytest.raises(UserError, match=f"as large as its noise, whose root mean square is 1, {size}.*standardize"):
        run(tmp_path, config(data=images, model={"name": "diffusion", "channels": [4]}))
