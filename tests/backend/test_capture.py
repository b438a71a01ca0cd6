"""A captured step is the step: the weights of eager steps, whatever changes in between; a refusal says why."""

import signal
import warnings
from collections.abc import Callable

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import backend, models, nn, optim, registry
from dlcourse import functional as F
from dlcourse.backend import capture, precision, random, tracing
from dlcourse.backend.cuda import graph
from dlcourse.data import Loader, Split
from dlcourse.data.normalizer import Normalizer
from dlcourse.errors import Interrupted
from dlcourse.optim.schedules import CosineSchedule

on_gpu = pytest.mark.skipif("config.getoption('--device') != 'cuda'", reason="recording is for a GPU (--device cuda)")


def nets() -> dict[str, tuple]:
    """Nets with a batch each that need all kinds of kernels."""
    rng = np.random.default_rng(0)
    images, rows = rng.normal(size=(6, 8, 8, 3)).astype("f"), rng.normal(size=(6, 20)).astype("f")
    tokens, following = rng.integers(0, 7, (2, 3, 5))
    labels = rng.integers(0, 4, 6)
    dropping = [nn.Linear(20, 16), nn.GELU("tanh"), nn.Dropout(0.5), nn.Linear(16, 4)]
    resized = [
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        nn.Upsample(scale_factor=1.5, mode="bilinear"),
        nn.Dropout2d(0.5),
        nn.AdaptiveMaxPool2d((7, 5)),
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        nn.MaxPool2d(2, 1, dilation=2),
        nn.GroupNorm(2, 6),
        nn.AdaptiveAvgPool2d(4),
        nn.RMSNorm(6),
        nn.Flatten(),
        nn.Linear(96, 4),
    ]
    return {
        "resized images": (lambda: nn.Sequential(*resized), images, labels, F.cross_entropy),
        "softmax": (lambda: models.SoftmaxModel((20,), 4), rows, labels, F.cross_entropy),
        "mlp with dropout": (lambda: nn.Sequential(*dropping), rows, labels, F.cross_entropy),
        "regression": (lambda: nn.Sequential(nn.Linear(20, 4)), rows, rows[:, :4], F.mse_loss),
        "vgg": (lambda: models.VGG((8, 8, 3), 4, [4, "pool", 8]), images, labels, F.cross_entropy),
        "resnet": (lambda: models.ResNet((8, 8, 3), 4, depth=8, width=4), images, labels, F.cross_entropy),
        "lstm": (lambda: models.CharRNN((5,), 7, hidden=6, embedding=4), tokens, following, F.cross_entropy),
        "gru": (lambda: models.CharRNN((5,), 7, kind="gru", hidden=6), tokens, following, F.cross_entropy),
        "gpt": (
            lambda: models.GPT((5,), 7, layers=1, heads=2, width=8, dropout=0.1), tokens, following, F.cross_entropy,
        ),
    }  # fmt: skip


def trained(
    name: str, captured: bool, steps: int = 6, numbers: str = "float32", **settings: object
) -> tuple[np.ndarray, list[float], object]:
    """Weights, losses and the step object after some steps; the batch changes from step to step."""
    random.manual_seed(3)
    make, x, y, loss_fn = nets()[name]
    model = make().to(dtype=precision.dtype(numbers))
    step = dl.TrainStep(model, loss_fn, optim.AdamW(model.parameters(), lr=1e-2), **settings)
    step.capture = captured
    place, losses = backend.current(), []
    for index in range(steps):
        losses.append(step(place.asarray(np.roll(x, index, axis=0)), place.asarray(np.roll(y, index, axis=0))).item())
    state = [backend.to_host(a) for a in model.state_dict().values()]
    return np.concatenate([a.reshape(-1) for a in state]), losses, step


@on_gpu
@pytest.mark.parametrize("numbers", ["float32", "fp16", "bf16"])
@pytest.mark.parametrize("name", nets())
def test_recorded_and_call_by_call_are_bit_for_bit_the_same(name: str, numbers: str, device: str) -> None:
    if numbers == "bf16":
        pytest.importorskip("ml_dtypes")
    settings = {"clip_norm": 0.5, "ema": 0.9, "l2": 1e-3, "schedule": CosineSchedule(10), "numbers": numbers}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        captured, losses, step = trained(name, True, **settings)
    assert len(step.runner.graphs) == 1
    plain, others, _ = trained(name, False, **settings)
    np.testing.assert_array_equal(captured, plain)
    assert losses == others


@on_gpu
def test_what_listens_to_phases_keeps_no_step_from_being_captured(device: str) -> None:
    """As ``dlcourse bench`` does, which waits for the device where a phase begins."""
    plain, *_ = trained("softmax", False)
    with warnings.catch_warnings(), tracing.listening_to_phases(lambda phase: backend.synchronize()):
        warnings.simplefilter("error", UserWarning)
        captured, _, step = trained("softmax", True)
    assert len(step.runner.graphs) == 1
    np.testing.assert_array_equal(captured, plain)


@on_gpu
def test_a_loaded_state_and_another_batch_size_go_on_right(device: str) -> None:
    def run(captured: bool) -> list[float]:
        random.manual_seed(1)
        make, x, y, loss_fn = nets()["mlp with dropout"]
        model = make()
        step = dl.TrainStep(model, loss_fn, optim.Adam(model.parameters(), lr=1e-2))
        step.capture, place = captured, backend.current()
        x, y = place.asarray(x), place.asarray(y)
        losses = [step(x, y).item() for _ in range(4)]
        saved, weights = step.state_dict(), model.state_dict()
        losses += [step(x[:4], y[:4]).item() for _ in range(4)]
        step.load_state_dict(saved)
        model.load_state_dict({key: backend.to_host(a) for key, a in weights.items()})
        step.optimizer.lr = 1e-3
        return losses + [step(x, y).item() for _ in range(2)]

    assert run(True) == run(False)


@on_gpu
def test_running_statistics_that_were_loaded_go_on(device: str) -> None:
    def run(captured: bool) -> np.ndarray:
        random.manual_seed(1)
        model = nn.Sequential(nn.Linear(20, 4), nn.BatchNorm(4))
        step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=1e-2))
        step.capture, place = captured, backend.current()
        x, y = (place.asarray(a) for a in nets()["softmax"][1:3])
        for _ in range(4):
            step(x, y)
        model[1].load_state_dict({**model[1].state_dict(), "running_mean": np.full(4, 7.0, "f")})
        for _ in range(2):
            step(x, y)
        return backend.to_host(model[1].running_mean)

    np.testing.assert_array_equal(run(True), run(False))


@on_gpu
def test_a_setting_changed_on_the_way_is_followed(device: str) -> None:
    def run(captured: bool) -> list[float]:
        random.manual_seed(1)
        make, x, y, loss_fn = nets()["softmax"]
        model = make()
        step = dl.TrainStep(model, loss_fn, optim.AdamW(model.parameters(), lr=1e-1))
        step.capture, place = captured, backend.current()
        x, y = place.asarray(x), place.asarray(y)
        losses = [step(x, y).item() for _ in range(4)]
        step.optimizer.weight_decay, step.clip_norm = 0.5, 1e-3
        return losses + [step(x, y).item() for _ in range(4)]

    assert run(True) == run(False)


@on_gpu
def test_a_part_set_to_evaluation_is_followed(device: str) -> None:
    def run(captured: bool) -> list[float]:
        random.manual_seed(1)
        model = nn.Sequential(nn.Linear(20, 8), nn.BatchNorm(8), nn.Dropout(0.5), nn.Linear(8, 4))
        step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=1e-1))
        step.capture, place = captured, backend.current()
        x, y = (place.asarray(a) for a in nets()["softmax"][1:3])
        losses = [step(x, y).item() for _ in range(4)]
        model[1].eval()
        losses += [step(x, y).item() for _ in range(4)]
        model[2].p = 0.1
        return losses + [step(x, y).item() for _ in range(4)]

    assert run(True) == run(False)


@on_gpu
def test_what_cannot_be_recorded_runs_call_by_call_and_is_said_once(device: str) -> None:
    def reading(outputs: dl.Tensor, labels: object) -> dl.Tensor:
        loss = F.cross_entropy(outputs, labels)
        return loss * 2 if loss.item() > 1e9 else loss

    x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
    model = nn.Linear(20, 4)
    step = dl.TrainStep(model, reading, optim.SGD(model.parameters(), lr=0.1))
    with pytest.warns(UserWarning, match="eagerly.*could not be captured") as message:
        losses = [step(x, y).item() for _ in range(5)]
    assert len(message) == 1 and losses[4] < losses[0] and step.optimizer.steps == 5


@on_gpu
def test_a_signal_while_a_step_is_recorded_is_no_refusal(device: str) -> None:
    """As a second one is while the first waits for the step's end."""
    calls: list[int] = []

    def interrupted(outputs: dl.Tensor, labels: object) -> dl.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise Interrupted("interrupted twice", signal.SIGINT)
        return F.cross_entropy(outputs, labels)

    x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
    model = nn.Linear(20, 4)
    step = dl.TrainStep(model, interrupted, optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(Interrupted):
        for _ in range(3):
            step(x, y)
    assert step.optimizer.steps == 2 and step.optimizer.lr == 0.1
    step(x, y)
    assert len(step.runner.graphs) == 1


class WithUnused(nn.Module):
    """Layers one after another, and a part that takes no part in the output."""

    def __init__(self, *layers: nn.Module, unused: nn.Module):
        super().__init__()
        self.body, self.unused = nn.Sequential(*layers), unused

    def forward(self, x):
        return self.body(x)


@on_gpu
def test_recorded_steps_follow_what_is_frozen_taken_and_looked_at(device: str) -> None:
    """Frozen and freed on the way, with Adam's own count; stepped by another optimizer between; gradients looked at."""

    def run(captured: bool) -> list:
        random.manual_seed(1)
        model = WithUnused(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 4), unused=nn.Linear(2, 2))
        step = dl.TrainStep(model, F.cross_entropy, optim.AdamW(model.parameters(), lr=0.1), l2=0.1, clip_norm=0.5)
        step.capture = captured
        x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
        found, taken = [], []
        for index in range(24):
            model.body[0].weight.requires_grad = not 6 <= index < 12
            if index == 18:
                other = optim.SGD([model.body[0].weight], lr=0.5)
                other.step()
            step(x, y)
            grads = [p.grad for p in (model.body[0].weight, model.body[2].bias) if p.grad is not None]
            taken += [(grad, grad.numpy().copy()) for grad in grads]
            found += [p.numpy().copy() for p in model.parameters()]
        assert not captured or step.runner.graphs
        for now, then in taken:
            np.testing.assert_array_equal(now.numpy(), then)
        return [*found, *(then for _, then in taken), step.optimizer.skipped_steps]

    for captured, plain in zip(run(True), run(False), strict=True):
        np.testing.assert_equal(captured, plain)


@on_gpu
def test_sizes_beyond_what_is_kept_run_call_by_call_without_waiting(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "MAX_GRAPHS", 1)
    model = nn.Linear(20, 4)
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
    for _ in range(3):
        step(x, y)
    monkeypatch.setattr(step.runner, "_on_capture_stream", lambda work: pytest.fail("it waited for the device"))
    for count in (2, 3, 2, 3):
        step(x[:count], y[:count])
    assert len(step.runner.graphs) == 1 and step.optimizer.steps == 7


@on_gpu
def test_a_kind_of_step_that_is_not_taken_any_more_makes_room(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a setting changes with each epoch."""
    monkeypatch.setattr(graph, "MAX_GRAPHS", 2)
    monkeypatch.setattr(graph, "MAX_IDLE", 6)
    model = nn.Sequential(nn.Linear(20, 4), nn.Dropout(0.5))
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
    saved = []
    for epoch in range(4):
        model[1].p = 0.1 * epoch
        for _ in range(8):
            step(x, y)
        saved.append(len(step.runner.graphs))
    assert saved == [1, 2, 2, 2] and max(each.next_step for each in step.runner.graphs.values()) == step.step == 32


@on_gpu
def test_the_switch(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(capture.SWITCH, "0")
    assert trained("softmax", True)[2].runner is capture.eager


def test_a_cpu_runs_call_by_call() -> None:
    with backend.use("cpu"):
        assert trained("softmax", True)[2].runner is capture.eager


def steps_with(
    make: Callable[[], nn.Module],
    captured: bool,
    change: Callable[[dl.TrainStep], None],
    loss_fn: Callable = F.cross_entropy,
    optimizer: type = optim.SGD,
) -> tuple[list[float], dl.TrainStep]:
    """The losses of four steps, and of five after a change."""
    random.manual_seed(1)
    step = dl.TrainStep(model := make().train(), loss_fn, optimizer(model.parameters(), lr=0.1))
    step.capture = captured
    x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
    losses = [step(x, y).item() for _ in range(4)]
    change(step)
    return losses + [step(x, y).item() for _ in range(5)], step


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(20, 8), nn.BatchNorm(8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 4))


def smoothed(step: dl.TrainStep) -> None:
    step.loss_fn.label_smoothing = 0.3


def slower_statistics(step: dl.TrainStep) -> None:
    step.model[1].momentum, step.model[1].eps, step.model[3].eps = 0.9, 0.1, 0.2


def other_activation(step: dl.TrainStep) -> None:
    step.model[2] = nn.Tanh()


def other_mask(step: dl.TrainStep) -> None:
    step.model.mask = step.model.mask * 0 + 2


def other_betas(step: dl.TrainStep) -> None:
    step.optimizer.betas = 0.5, 0.6


class Masked(nn.Module):
    """Keeps the mask that its last batch had, as code that was written for eager steps does."""

    def __init__(self) -> None:
        self.linear = nn.Linear(20, 4)
        self.mask = None

    def forward(self, x: dl.Tensor) -> dl.Tensor:
        if self.mask is None or len(self.mask) != len(x):
            self.mask = backend.current().xp.full((len(x), 1), 1 + 1 / len(x), dtype=np.float32)
        return self.linear(x) * dl.Tensor(self.mask)


class Averaging(nn.Module):
    """Its average is a new array at each step, so that a captured step would always begin from the same."""

    def __init__(self) -> None:
        self.linear, self.average = nn.Linear(20, 4), dl.tensor(np.zeros(4, "f"))

    def forward(self, x: dl.Tensor) -> dl.Tensor:
        y = self.linear(x)
        self.average = 0.9 * self.average + 0.1 * y.data.mean(0)
        return y - self.average


@on_gpu
@pytest.mark.parametrize(
    ("make", "change", "loss_fn", "optimizer"),
    [
        (normed, smoothed, nn.CrossEntropyLoss, optim.SGD),
        (normed, slower_statistics, nn.CrossEntropyLoss, optim.SGD),
        (normed, other_activation, nn.CrossEntropyLoss, optim.SGD),
        (normed, other_betas, nn.CrossEntropyLoss, optim.Adam),
        (Masked, other_mask, nn.CrossEntropyLoss, optim.SGD),
    ],
)
def test_what_a_captured_step_took_in_is_followed_where_it_changes(
    make: Callable, change: Callable, loss_fn: Callable, optimizer: type, device: str
) -> None:
    captured, step = steps_with(make, True, change, loss_fn(), optimizer)
    assert captured == steps_with(make, False, change, loss_fn(), optimizer)[0]
    assert len(step.runner.graphs) == 2


SCHEDULES = {
    "step": {"step_size": 2},
    "multi_step": {"milestones": [2, 6]},
    "exponential": {"gamma": 0.9},
    "warm_restarts": {"period": 3},
}


@on_gpu
@pytest.mark.parametrize("name", registry.names("schedule"))
def test_every_number_of_a_schedule_is_followed_by_the_same_graph(name: str, device: str) -> None:
    def run(captured: bool) -> tuple[list[float], dl.TrainStep]:
        random.manual_seed(1)
        schedule = registry.build("schedule", {"name": name, **SCHEDULES.get(name, {})}, total_steps=40)
        model = nn.Linear(20, 4)
        step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1), schedule=schedule)
        step.capture = captured
        x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
        losses = [step(x, y).item() for _ in range(4)]
        for attribute, value in vars(schedule).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                setattr(schedule, attribute, value + 1 if isinstance(value, int) else 0.5 * value + 0.25)
                losses += [step(x, y).item() for _ in range(2)]
        return losses, step

    captured, step = run(True)
    assert captured == run(False)[0] and len(step.runner.graphs) == 1


@on_gpu
def test_a_step_in_another_precision_is_another_graph(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, step = steps_with(normed, True, lambda step: monkeypatch.setattr(precision, "_current", "tf32"))
    assert len(step.runner.graphs) == 2


@on_gpu
def test_what_a_module_replaces_for_another_batch_stays_with_the_graph_that_reads_it(device: str) -> None:
    def run(captured: bool) -> tuple[list[float], dl.TrainStep]:
        random.manual_seed(1)
        model = Masked()
        step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
        step.capture = captured
        x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
        sizes = [6, 6, 6, 6, 4, 6, 6, 6, 6, 4, 4, 4, 4]
        return [step(x[:size], y[:size]).item() for size in sizes], step

    captured, step = run(True)
    assert captured == run(False)[0]
    masks = [array for each in step.runner.graphs.values() for array in each.read if array.shape[1:] == (1,)]
    assert {len(mask) for mask in masks} == {6, 4} and step.model.mask in masks[-1:]


@on_gpu
def test_what_is_made_after_a_capture_lies_where_no_graph_writes(device: str) -> None:
    cupy_stand_in = pytest.importorskip("tests.fake_cupy")
    pools = []

    class Noting(nn.Linear):
        def forward(self, x: dl.Tensor) -> dl.Tensor:
            pools.append(cupy_stand_in._pool_in_use)
            return super().forward(x)

    model = Noting(20, 4)
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
    for size in (6, 6, 6, 4, 4, 4):
        step(x[:size], y[:size])
    own, common = step.runner.side.pool, backend.current().xp.get_default_memory_pool()
    # two eager steps and the capture; the next two eager ones outside, and their capture
    assert [{own: "own", common: "common"}[pool] for pool in pools] == ["own"] * 3 + ["common"] * 2 + ["own"]


@on_gpu
def test_state_that_is_replaced_at_each_step_is_said_and_goes_on_right(device: str) -> None:
    def nothing(step: dl.TrainStep) -> None:
        pass

    with pytest.warns(UserWarning, match=r"eagerly.*Averaging\.average changes with each step") as message:
        captured, step = steps_with(Averaging, True, nothing)
    assert len(message) == 1 and not step.runner.graphs
    assert captured == steps_with(Averaging, False, nothing)[0]


@on_gpu
def test_so_it_is_with_batches_made_on_the_device(device: str) -> None:
    def run(captured: bool) -> tuple[list[float], dl.TrainStep]:
        random.manual_seed(1)
        x, y = nets()["softmax"][1:3]
        split = Split(np.tile(x, (4, 1)), np.tile(y, 4), np.arange(24))
        loader = Loader(split, Normalizer(0.0, 1.0), backend.current(), "float32", 6, 0)
        model = Averaging()
        step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
        step.capture = captured
        return [step.runner.advance(step, loader, 1)[0].item() for _ in range(graph.MAX_TRIED + 10)], step

    with pytest.warns(UserWarning, match="Averaging.average changes with each step") as message:
        losses, step = run(True)
    assert len(message) == 1 and step.runner.refused and len(step.runner.settings) == graph.MAX_TRIED
    assert losses == run(False)[0]


@on_gpu
def test_a_step_that_changes_only_now_and_then_is_not_captured_in_between(device: str) -> None:
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x: dl.Tensor) -> dl.Tensor:
            Counting.calls += 1
            if Counting.calls % 3 == 0:
                self.scale = 1.0 / Counting.calls
            return super().forward(x) * getattr(self, "scale", 1.0)

    model = Counting(20, 4)
    step = dl.TrainStep(model, F.cross_entropy, optim.SGD(model.parameters(), lr=0.1))
    x, y = (backend.current().asarray(a) for a in nets()["softmax"][1:3])
    with pytest.warns(UserWarning, match="it changes Counting"):
        for _ in range(6):
            step(x, y)
    assert not step.runner.graphs
