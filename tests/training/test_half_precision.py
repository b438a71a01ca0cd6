"""Mixed precision: 16 bits where the model computes, float32 where it is kept; the same on both devices."""

import json
import subprocess
import sys

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse import functional as F
from dlcourse.backend import precision, random
from dlcourse.backend.kernels import scaling
from dlcourse.errors import ConfigError, UserError

HALVES = ["fp16", "bf16"]
EPS = {"fp16": 2.0**-10, "bf16": 2.0**-7}


@pytest.fixture(params=HALVES)
def half(request: pytest.FixtureRequest) -> str:
    if request.param == "bf16":
        pytest.importorskip("ml_dtypes")
    return request.param


def samples() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(96, 12)).astype(np.float32)
    return x, (x @ rng.normal(size=(12, 4))).argmax(axis=1)


def stepping(name: str, make: type = optim.Adam, **settings: object) -> dl.TrainStep:
    random.manual_seed(0)
    layers = [nn.Linear(12, 16), nn.BatchNorm(16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 8), nn.GELU()]
    model = nn.Sequential(*layers, nn.LayerNorm(8), nn.Linear(8, 4)).to(dtype=precision.dtype(name))
    return dl.TrainStep(model, F.cross_entropy, make(model.parameters(), lr=0.01), **settings)


@pytest.mark.parametrize("settings", [{}, {"clip_norm": 0.5, "ema": 0.9, "l2": 1e-3, "accumulate": 3}])
def test_losses_follow_float32s(half: str, settings: dict, device: str) -> None:
    x, y = samples()
    steps = [stepping(name, **settings) for name in ("float32", half)]
    for _ in range(20):
        expected, found = (step(x, y) for step in steps)
        assert found.dtype == np.float32
        # Each of some ten operations in a row rounds by half an eps; the loss is of order 1.
        assert found.item() == pytest.approx(expected.item(), abs=5 * EPS[half])
    assert found.item() < 0.8


def test_parts_of_a_batch_add_up_in_float32(half: str, device: str) -> None:
    x, y = samples()
    whole, parts = (stepping(half, optim.SGD, accumulate=n) for n in (1, 12))
    for step in (whole, parts):
        step.model.eval()  # a part's own statistics would differ
        step(x, y)
    ours, theirs = (backend.to_host(step.flat.grad) for step in (parts, whole))
    np.testing.assert_allclose(ours, theirs, atol=4 * EPS[half] * np.abs(theirs).max())


def test_weights_and_statistics_are_kept_in_float32(half: str, device: str) -> None:
    step = stepping(half)
    before = {name: array.copy() for name, array in step.model.state_dict().items()}
    assert {array.dtype for array in before.values()} == {np.dtype(np.float32)}
    assert step.model[0].weight.dtype == precision.dtype(half)
    step.optimizer.lr = 1e-7  # far below what 16 bits could tell from nothing
    step(*samples())
    after = step.model.state_dict()
    moved = np.abs(after["0.weight"] - before["0.weight"])
    assert 0 < moved.max() < 2e-7
    back = step.model.to(dtype="float32").state_dict()
    for name, array in after.items():
        np.testing.assert_array_equal(back[name], array)


def test_a_loaded_state_is_what_the_model_computes_with(half: str, device: str) -> None:
    step, other = stepping(half), stepping(half)
    step(*samples())
    other.model.load_state_dict(step.model.state_dict())
    for ours, theirs in zip(other.model.parameters(), step.model.parameters(), strict=True):
        np.testing.assert_array_equal(backend.to_host(ours.data), backend.to_host(theirs.data))
        np.testing.assert_array_equal(backend.to_host(ours.master), backend.to_host(theirs.master))


@pytest.mark.parametrize(
    "make", [getattr(optim, name) for name in "SGD Adam Adagrad RMSprop Adadelta NAdam RAdam Lion Rprop".split()]
)
def test_a_step_that_overflows_changes_nothing_but_the_scale(make: type, device: str) -> None:
    step = stepping("fp16", make)
    step.model.eval()
    step(*samples())
    saved = backend.to_host(step.flat.data).copy()
    state = {name: backend.to_host(a).copy() for name, a in step.optimizer.state.items()}
    step.flat.scaler[scaling.SCALE] = 2.0**40
    step(*samples())
    np.testing.assert_array_equal(backend.to_host(step.flat.data), saved)
    for name, array in step.optimizer.state.items():
        np.testing.assert_array_equal(backend.to_host(array), state[name])
    assert backend.to_host(step.flat.scaler).tolist() == [2.0**39, 0, 0, 1]


class Signs(optim.Optimizer):
    """An optimizer that does not know of a loss scale."""

    def __init__(self, params, lr: float):
        super().__init__(params, lr, state=("velocity",))

    def update(self, weight, grad) -> None:
        velocity = self.state["velocity"]
        velocity *= 0.9
        velocity += backend.array_module(grad).sign(grad)
        weight -= self.lr * velocity


def test_an_optimizer_that_knows_no_scale_skips_too(device: str) -> None:
    step = stepping("fp16", Signs)
    step.model.eval()
    step(*samples())
    saved = [backend.to_host(array).copy() for array in (step.flat.data, step.optimizer.state["velocity"])]
    step.flat.scaler[scaling.SCALE] = 2.0**40
    step(*samples())
    for array, before in zip((step.flat.data, step.optimizer.state["velocity"]), saved, strict=True):
        np.testing.assert_array_equal(backend.to_host(array), before)
    step.flat.scaler[scaling.SCALE] = scaling.FIRST_SCALE
    step(*samples())
    assert np.abs(backend.to_host(step.flat.data) - saved[0]).max() > 0.01


def test_adam_does_not_count_a_step_that_was_skipped(device: str) -> None:
    straight, skipping = stepping("fp16"), stepping("fp16")
    for step in (straight, skipping):
        step.model.eval()
    straight(*samples())
    skipping.flat.scaler[scaling.SCALE] = 2.0**40
    skipping(*samples())
    skipping.flat.scaler[scaling.SCALE] = scaling.FIRST_SCALE
    skipping(*samples())
    np.testing.assert_array_equal(backend.to_host(skipping.flat.data), backend.to_host(straight.flat.data))


def test_the_scale_grows_where_nothing_overflowed_for_long(device: str) -> None:
    step = stepping("fp16")
    step.flat.scaler[...] = backend.current().asarray([256, 0, scaling.INTERVAL - 1, 0], "float32")
    step(*samples())
    assert backend.to_host(step.flat.scaler).tolist() == [512, 0, 0, 0]


def test_the_scale_saves_gradients_that_fp16_alone_would_lose(device: str) -> None:
    random.manual_seed(0)
    model = nn.Linear(3, 1).to(dtype="float16")
    step = dl.TrainStep(model, lambda out, y: (out * 1e-8).sum(), optim.SGD(model.parameters(), lr=1.0))
    step(np.ones((1, 3), np.float32), np.zeros((1, 1), np.float32))
    # 1e-8 is below the least number of fp16, 6e-8; scaled it is rounded to one part in a thousand.
    np.testing.assert_allclose(backend.to_host(step.flat.grad), 1e-8, rtol=1e-3)


@pytest.mark.parametrize("names", [("float16", "fp16"), ("bfloat16", "bf16")])
def test_types_have_pytorchs_names_and_a_configs(names: tuple[str, str], device: str) -> None:
    if names[1] == "bf16":
        pytest.importorskip("ml_dtypes")
    for name in names:
        x = dl.tensor(np.ones((2, 3), np.float32)).to(dtype=name)
        assert x.dtype == dl.tensor([1.0], dtype=name).dtype == precision.dtype(names[1])
        assert nn.Linear(3, 2).to(dtype=name)(x).dtype == x.dtype
    # In a process of its own: NumPy knows bfloat16 once ml_dtypes is imported.
    code = f"from dlcourse import nn; print(nn.Linear(3, 2).to(dtype={names[0]!r}).weight.dtype)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == names[0], done.stderr


def test_arrays_of_16_bits_are_saved_and_loaded(half: str, device: str, tmp_path) -> None:
    x = dl.tensor(np.linspace(-3, 3, 12, dtype=np.float32).reshape(3, 4)).to(dtype=half)
    others = {"none": np.zeros((0, 2), np.int64), "one": np.array(2.5), "yes": np.array([True, False])}
    dl.save(tmp_path / "x.safetensors", {"x": x, **others})
    found = dl.load(tmp_path / "x.safetensors")
    for name, array in {"x": x.numpy(), **others}.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_float16_goes_on_from_the_state_of_a_step_in_float32(device: str) -> None:
    whole, half = stepping("float32"), stepping("fp16")
    whole(*samples())
    half.flat.scaler[scaling.SCALE] = 32.0
    half.load_state_dict(whole.state_dict())
    assert half.step == 1 and backend.to_host(half.flat.scaler)[scaling.SCALE] == 32.0
    half.load_state_dict(stepping("fp16").state_dict())
    assert backend.to_host(half.flat.scaler)[scaling.SCALE] == scaling.FIRST_SCALE


def test_parameters_are_never_whole_numbers(device: str) -> None:
    model = nn.Linear(3, 2)
    with pytest.raises(TypeError, match="a parameter holds floating-point numbers, got int32"):
        model.to(dtype="int32")
    assert model.weight.dtype == np.float32


def test_gradcheck_takes_16_bits(half: str, device: str) -> None:
    assert dl.gradcheck(lambda x: (x * x).sum(), np.ones(3, precision.dtype(half)))


def test_bf16_needs_no_scale(device: str) -> None:
    pytest.importorskip("ml_dtypes")
    assert stepping("bf16").flat.scaler is None


CNN = {
    "name": "half",
    "data": {"name": "synthetic_images", "samples": 120, "image_size": 8, "channels": 3, "classes": 3},
    "model": {"name": "cnn", "channels": [4], "hidden": [8]},
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "adam", "lr": 0.01},
    "train": {"batch_size": 20, "epochs": 3},
    "metrics": ["accuracy"],
}


def test_a_run_gone_on_with_is_the_run_at_one_go(half: str, device: str, tmp_path) -> None:
    from dlcourse.experiment import load_run, run

    config = {**CNN, "precision": half}
    whole = run(config, device=device, folder=tmp_path / "whole", quiet=True, plots=False)
    short = {**config, "train": {"batch_size": 20, "epochs": 1}}
    run(short, device=device, folder=tmp_path / "parts", quiet=True, plots=False)
    parts = run(resume=tmp_path / "parts", overrides={"train.epochs": 3}, device=device, quiet=True, plots=False)
    assert parts.metrics == whole.metrics
    for name, array in whole.model.state_dict().items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, parts.model.state_dict()[name])
    for name, array in load_run(tmp_path / "whole", device).model.state_dict().items():
        np.testing.assert_array_equal(array, whole.model.state_dict()[name])
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["loss"]) for line in lines if line["event"] == "train")


def test_a_closed_form_needs_more_than_16_bits(tmp_path) -> None:
    from dlcourse.experiment import run

    config = {
        "precision": "fp16",
        "data": {"name": "polynomial_curve", "samples": 20},
        "model": {"name": "polynomial", "degree": 2},
        "optimizer": {"name": "closed_form"},
    }
    with pytest.raises(ConfigError, match="precision: closed_form solves for the weights, which 16 bits cannot"):
        run(config, out=tmp_path, device="cpu", quiet=True)


RENT = {
    "data": {"name": "westwood_rent", "samples": 60, "normalize": "standardize"},
    "model": {"name": "linear"},
    "loss": {"name": "half_sse"},
    "optimizer": {"name": "sgd", "lr": 0.01},
    "train": {"batch_size": "full"},
}


@pytest.mark.parametrize(("precision", "steps"), [("fp16", 20), ("fp16", 200), ("bf16", 20), ("float32", 20)])
def test_a_run_says_how_many_steps_its_loss_scale_cost(precision: str, steps: int, tmp_path, capsys) -> None:
    from dlcourse.experiment import run

    if precision == "bf16":
        pytest.importorskip("ml_dtypes")
    config = {**RENT, "precision": precision, "train": {"batch_size": "full", "steps": steps}}
    run(config, device="cpu", out=tmp_path, plots=False)
    message = [line for line in capsys.readouterr().out.splitlines() if line.startswith("loss scale: ")]
    if precision != "fp16":
        assert not message
        return
    skipped = int(message[0].split(" in ")[1].split(" of ")[0])
    assert 10 < skipped < 20  # rents of thousands of dollars, summed, times 65536
    assert message[0].startswith(f"loss scale: the gradient overflowed float16 in {skipped} of {steps} steps")
    assert ("precision: bf16" in message[0]) == (steps == 20)


def test_a_loss_that_float16_cannot_bear_says_what_can(tmp_path) -> None:
    from dlcourse.errors import DivergenceError
    from dlcourse.experiment import run

    rate = {"name": "sgd", "lr": 1e30}
    for name, message in (("fp16", True), ("float32", False)):
        with pytest.raises(DivergenceError, match="training diverged at step") as caught:
            run({**CNN, "precision": name, "optimizer": rate}, device="cpu", out=tmp_path, quiet=True, plots=False)
        assert ("precision: bf16 has the range of float32" in str(caught.value)) == message


def test_bf16_says_which_package_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    precision._bfloat16.cache_clear()
    with pytest.raises(UserError, match="pip install ml_dtypes"):
        precision.dtype("bf16")
