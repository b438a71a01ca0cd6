"""TrainStep: the update that it makes is the one that its settings say."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, nn, optim
from dlcourse import functional as F
from dlcourse.backend import random
from dlcourse.backend.kernels import Kernel, linear
from dlcourse.ops import linear as ops_linear


def net() -> nn.Module:
    random.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def batch(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(count, 4)).astype("float32"), rng.integers(0, 3, count)


def weights(model: nn.Module) -> np.ndarray:
    return np.concatenate([a.reshape(-1) for a in model.state_dict().values()])


def after(steps: int, **settings: object) -> np.ndarray:
    model = net()
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.5), **settings)
    for _ in range(steps):
        step(*batch())
    return weights(model)


def test_a_step_is_gradient_descent(device: str) -> None:
    model = net()
    x, y = batch()
    F.cross_entropy(model(dl.tensor(x)), y).backward()
    expected = [p.numpy() - 0.5 * p.grad.numpy() for p in model.parameters()]
    model.zero_grad()
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.5))
    loss = step(x, y)
    assert step.step == 1 and loss.device.startswith(device) and not loss.requires_grad
    for p, value in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(p.numpy(), value, rtol=1e-6, atol=1e-7)


def test_a_model_that_changes_its_input_leaves_the_data_as_it_is(device: str) -> None:
    class Shifted(nn.Sequential):
        def forward(self, x: dl.Tensor) -> dl.Tensor:
            x[:, 0] += 1
            x -= 0.5
            return super().forward(x)

    random.manual_seed(1)
    model = Shifted(nn.Linear(4, 3))
    x, y = (backend.current().asarray(array) for array in batch())
    before = x.copy()
    dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.0))(x, y)
    assert (x == before).all()


@pytest.mark.parametrize("loss_fn", [nn.CrossEntropyLoss(), nn.HalfSSELoss()], ids=["mean", "sum"])
@pytest.mark.parametrize("parts", [2, 5, 12])
def test_accumulation_changes_nothing_but_rounding(loss_fn: nn.Module, parts: int, device: str) -> None:
    """12 samples in 5 parts leave a short last one, which counts by its share."""
    results = []
    for accumulate in (1, parts):
        model = net()
        step = dl.TrainStep(model, loss_fn, optim.SGD(model.parameters(), lr=0.1), accumulate=accumulate)
        x, y = batch()
        if isinstance(loss_fn, nn.HalfSSELoss):
            y = np.eye(3, dtype="float32")[y]
        losses = [step(x, y).item() for _ in range(3)]
        results.append((losses, weights(model)))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-5)
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-5, atol=1e-6)


def test_l2_is_weight_decay_on_weights_alone_and_part_of_the_cost(device: str) -> None:
    model = net()
    x, y = batch()
    squares = sum(float((p.numpy() ** 2).sum()) for p in model.parameters() if p.ndim > 1)
    sizes = sum(float(np.abs(p.numpy()).sum()) for p in model.parameters() if p.ndim > 1)
    bare = F.cross_entropy(model(dl.tensor(x)), y).item()
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.0), l1=0.3, l2=0.2)
    assert step(x, y).item() == pytest.approx(bare + 0.3 * sizes + 0.1 * squares, rel=1e-5)
    gradient = backend.to_host(step.flat.grad).copy()
    model.zero_grad()
    F.cross_entropy(model(dl.tensor(x)), y).backward()
    expected = [
        p.grad.numpy() + (0.3 * np.sign(p.numpy()) + 0.2 * p.numpy() if p.ndim > 1 else 0) for p in model.parameters()
    ]
    np.testing.assert_allclose(gradient, np.concatenate([g.reshape(-1) for g in expected]), rtol=1e-5, atol=1e-6)


def test_clipping_bounds_the_update(device: str) -> None:
    start = weights(net())
    moved = after(1, clip_norm=1e-3) - start
    assert np.linalg.norm(moved) == pytest.approx(0.5 * 1e-3, rel=1e-2)


def test_the_schedule_sets_the_rate_of_each_step() -> None:
    class Halving:
        def factor(self, step: int) -> float:
            return 0.5**step

    model = net()
    optimizer = optim.SGD(model.parameters(), lr=0.4)
    step = dl.TrainStep(model, F.cross_entropy, optimizer, schedule=Halving())
    rates = []
    for _ in range(3):
        step(*batch())
        rates.append(optimizer.lr)
    assert rates == [0.4, 0.2, 0.1]


def test_the_moving_average_is_swapped_in_and_out(device: str) -> None:
    model = net()
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.5), ema=0.5)
    start = weights(model)
    step(*batch())
    trained = weights(model)
    with step.averaged():
        np.testing.assert_allclose(weights(model), 0.5 * start + 0.5 * trained, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(weights(model), trained)


def test_dropout_goes_on_where_it_was(device: str) -> None:
    """N steps, a new process's objects, M steps: the masks of step N + 1 need no step before it."""

    def build() -> tuple[nn.Module, dl.TrainStep]:
        random.manual_seed(1)
        model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 3))
        return model, dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters(), lr=0.01), ema=0.9)

    model, step = build()
    for _ in range(3):
        step(*batch())
    state, saved = model.state_dict(), step.state_dict()
    for _ in range(3):
        step(*batch())
    resumed, step2 = build()
    resumed.load_state_dict(state)
    step2.load_state_dict(saved)
    for _ in range(3):
        step2(*batch())
    np.testing.assert_array_equal(weights(resumed), weights(model))


@pytest.mark.parametrize("settings", [{}, {"l2": 0.1}, {"accumulate": 2}, {"clip_norm": 1.0, "l1": 0.1}])
def test_the_loss_holds_an_array_and_never_a_scalar(settings: dict, device: str) -> None:
    model = net()
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1), **settings)
    loss = step(*batch())
    assert not isinstance(loss.data, np.generic) and loss.shape == () and loss.dtype == np.float32


def test_settings_out_of_range_are_refused() -> None:
    for bad in ({"accumulate": 0}, {"clip_norm": 0.0}, {"l1": -1.0}, {"l2": -0.1}):
        with pytest.raises(ValueError, match="TrainStep"):
            after(0, **bad)


def test_inputs_of_another_type_take_the_models(device: str) -> None:
    model = net()
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    x, y = batch()
    assert step(x.astype("float64"), y).dtype == np.float32
    assert step(dl.tensor(x), dl.tensor(y)).dtype == np.float32


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ["adam_step"]),
        ({"clip_norm": 1.0}, ["clip_norm", "adam_step"]),
        ({"clip_norm": 1.0, "ema": 0.9, "l2": 0.1}, ["add_penalty", "clip_norm", "adam_step", "average_step"]),
    ],
)
def test_each_thing_done_to_all_parameters_is_one_kernel(
    settings: dict, expected: list[str], monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """What costs a pass over the parameters is counted: a second one, or one for each parameter, would be seen."""
    model = net()
    step = dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters()), **settings)
    calls, call = [], Kernel.__call__

    def counted(self: Kernel, *args: object, **kwargs: object) -> object:
        if any(getattr(a, "size", 0) == step.flat.data.size and a.ndim == 1 for a in args):
            calls.append(self.name)
        return call(self, *args, **kwargs)

    step(*batch())
    monkeypatch.setattr(Kernel, "__call__", counted)
    step(*batch())
    assert calls == expected


def test_gradients_are_written_over_and_never_filled_with_zeros_first(device: str) -> None:
    model = net()
    step = dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters()))
    step(*batch())
    step.flat.grad.fill(np.nan)
    step.optimizer.zero_grad()
    assert np.isnan(backend.to_host(step.flat.grad)).all()
    step(*batch())
    assert np.isfinite(backend.to_host(step.flat.data)).all()


def test_no_gradient_goes_to_the_input(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    """Three layers have three weight gradients, and two products for what lies between them."""
    products, seen = [], SimpleNamespace(**vars(linear))  # by the operation: a kernel may call others
    for name in ("product", "weight_and_bias_grad"):
        call = getattr(linear, name)
        setattr(seen, name, lambda *args, call=call: products.append(args[1].shape) or call(*args))
    monkeypatch.setattr(ops_linear, "kernels", seen)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))(*batch())
    assert len(products) == 5


def test_a_steady_step_leaves_nothing_for_the_garbage_collector() -> None:
    import gc

    model = net()
    step = dl.TrainStep(model, F.cross_entropy, optim.Adam(model.parameters(), lr=0.1))
    step(*batch())
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            step(*batch())
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_members_of_an_ensemble_have_weights_and_masks_of_their_own(device: str) -> None:
    """Built one after another, or together, or as copies; trained in turn; and gone on with from their states."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 3))

    def run(build_late: bool) -> list[np.ndarray]:
        random.manual_seed(4)
        first = build()
        models = [first, first, build()] if not build_late else [first]
        models = [copy.deepcopy(models[0]), *models[:1], *models[2:]]
        steps = [dl.TrainStep(m, F.cross_entropy, optim.SGD(m.parameters(), lr=0.1)) for m in models]
        for _ in range(2):
            for step in steps:
                step(*batch())
        if build_late:
            models.append(build())
            steps.append(dl.TrainStep(models[2], F.cross_entropy, optim.SGD(models[2].parameters(), lr=0.1)))
        stored = steps[1].state_dict(), models[1].state_dict()
        steps[1](*batch())
        twin = copy.deepcopy(models[0])
        other = dl.TrainStep(twin, F.cross_entropy, optim.SGD(twin.parameters(), lr=0.1))
        other.load_state_dict(stored[0])
        twin.load_state_dict(stored[1])
        other(*batch())
        np.testing.assert_array_equal(weights(twin), weights(models[1]))
        return [weights(model) for model in models]

    for late in (False, True):
        found = run(late)
        assert len({array.tobytes() for array in found}) == 3
        for once, again in zip(found, run(late), strict=True):
            np.testing.assert_array_equal(once, again)
    assert (found[2] != weights(build())).any()


def test_members_made_under_seeds_of_their_own_and_trained_in_turn_draw_apart(device: str) -> None:
    made = []
    for seed in (1, 2, 2):
        random.manual_seed(seed)
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3))
        model[1].weight.data[...] = 0
        made.append((model, dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))))
    for _, step in made:
        step(*batch())
    first, second, same = (model[1].weight.numpy() for model, _ in made)
    assert (first != second).any()
    np.testing.assert_array_equal(second, same)  # the same seed, and the first of it


@pytest.mark.parametrize("setting", [{"ema": 1}, {"ema": 2.0}, {"l2": float("nan")}, {"accumulate": 0}])
def test_settings_that_cannot_be_are_refused(setting: dict) -> None:
    model = nn.Linear(2, 1)
    with pytest.raises(ValueError, match="ema is at least 0 and below 1"):
        dl.TrainStep(model, F.mse_loss, optim.SGD(model.parameters(), 0.1), **setting)


@pytest.mark.parametrize("optimizer", [optim.SGD, None, net().parameters()])
def test_what_is_no_optimizer_is_refused(optimizer: object) -> None:
    with pytest.raises(
        TypeError, match=r"expected an optimizer, such as optim.SGD\(model.parameters\(\), lr=0.1\), got"
    ):
        dl.TrainStep(net(), F.cross_entropy, optimizer)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(
    ("loss_fn", "message"),
    [
        (lambda outputs, labels: F.cross_entropy(outputs, labels).item(), "returned a float, which has no gradient"),
        (lambda outputs, labels: outputs.numpy().sum(), "returned a float32, which has no gradient"),
        (lambda outputs, labels: None, "returned None: it lacks a return"),
    ],
)
def test_a_loss_that_is_no_tensor_is_refused(accumulate: int, loss_fn: object, message: str) -> None:
    model = net()
    step = dl.TrainStep(model, loss_fn, optim.SGD(model.parameters(), lr=0.1), accumulate=accumulate)
    with pytest.raises(TypeError, match=f"expected the loss as a tensor; <lambda> {message}"):
        step(*batch())


def test_a_model_that_returns_nothing_is_named() -> None:
    class Silent(nn.Linear):
        def forward(self, x: object) -> None:
            super().forward(x)

    model = Silent(4, 3)
    with pytest.raises(TypeError, match="TrainStep: Silent returned None: it lacks a return"):
        dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))(*batch())


@pytest.mark.parametrize(
    ("loss_fn", "settings"),
    [
        (F.cross_entropy, {}),
        (F.cross_entropy, {"l2": 0.1}),
        (nn.CrossEntropyLoss(), {"accumulate": 3}),
        (lambda outputs, y: F.cross_entropy(outputs, y) + 0.5 * F.cross_entropy(2 * outputs, y) ** 2, {}),
        (lambda outputs, y: (outputs**2).mean(), {}),
    ],
    ids=["one", "penalized", "in parts", "two in one", "another"],
)
def test_the_cost_goes_where_it_is_wanted(loss_fn: object, settings: dict, device: str) -> None:
    """Captured steps want it beside those of the others in their launch; weights and cost are the same."""
    found = []
    for wanted in (False, True):
        model = net()
        step = dl.TrainStep(model, loss_fn, optim.SGD(model.parameters(), lr=0.5), **settings)
        step(*batch())
        x, y = (backend.current().asarray(a) for a in batch())
        buffer = backend.current().asarray(np.float32([7, 7]))[1:].reshape(()) if wanted else None
        cost = step.update(x, y, buffer)
        assert not wanted or cost is buffer
        found.append((backend.to_host(cost).item(), weights(model).tolist()))
    assert found[0] == found[1]
