"""Batches made on the device from the step's number, and several steps in one launch: the same run as step by step."""

import json
from collections import Counter

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend import capture
from dlcourse.backend.device_counter import DeviceCounter
from dlcourse.config.data_sections import Augment
from dlcourse.data import Loader, Split
from dlcourse.data.device_batches import DeviceBatches
from dlcourse.data.normalizer import Normalizer
from dlcourse.experiment import run
from dlcourse.training.divergence import DivergenceGuard

on_gpu = pytest.mark.skipif("config.getoption('--device') != 'cuda'", reason="recording is for a GPU (--device cuda)")

CNN = {
    "name": "fed",
    "data": {
        "name": "synthetic_images", "samples": 150, "image_size": 8, "channels": 3, "classes": 3,
        "augment": {"flip": True, "crop": 1}, "normalize": "standardize",
    },
    "model": {"name": "cnn", "channels": [4], "hidden": [8], "dropout": 0.2},
    "loss": {"name": "cross_entropy"},
    "optimizer": {"name": "adam", "lr": 0.01, "schedule": {"name": "cosine"}},
    "train": {"batch_size": 10, "epochs": 5, "log_every": 7, "eval_every": 2, "clip_norm": 1.0},
    "metrics": ["accuracy"],
}  # fmt: skip


def images(raw: bool) -> Split:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (23, 6, 5, 3)).astype(np.uint8)
    return Split(x if raw else x.astype(np.float64), rng.integers(0, 4, 23), np.arange(23))


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    "augment", [None, Augment(flip=True, crop=2), Augment(flip="alternating", crop=2, border="reflect")]
)
@pytest.mark.parametrize("shuffle", [True, False])
def test_device_batches_makes_the_loaders_own_batches(
    raw: bool, augment: Augment | None, shuffle: bool, device: str
) -> None:
    place = backend.current()
    normalizer = Normalizer(np.array([100.0, 120, 90]), np.array([50.0, 60, 70]))
    loader = Loader(images(raw), normalizer, place, "float32", 5, 3, shuffle, augment)
    batches = loader.device_batches
    if batches is None:  # bytes of a CPU stay where they are, and are no business of a captured step
        assert device == "cpu" and raw
        return
    assert [batches.steps_left(step) for step in range(6)] == [4, 3, 2, 1, 0, 4]
    for step in (0, 1, 3, 5, 8, 12):  # in three epochs
        expected = [backend.to_host(a) for a in loader.batch(step)]
        x, y = place.xp.empty(batches.x_shape, batches.x_dtype), place.xp.empty(batches.y_shape, batches.y_dtype)
        batches.prepare(step)
        batches.write(step, x, y)
        np.testing.assert_array_equal(backend.to_host(x), expected[0])
        np.testing.assert_array_equal(backend.to_host(y), expected[1])


@pytest.mark.parametrize(
    ("raw", "batch_size", "augment", "itself"),
    [
        (False, "full", None, True),
        (True, "full", None, False),
        (False, 5, None, False),
        (False, "full", Augment(flip=True), False),
    ],
)
def test_where_every_batch_is_the_set_itself(raw: bool, batch_size, augment, itself: bool, device: str) -> None:
    normalizer = Normalizer(np.array([100.0, 120, 90]), np.array([50.0, 60, 70]))
    loader = Loader(images(raw), normalizer, backend.current(), "float32", batch_size, 3, True, augment)
    batches = loader.device_batches
    if batches is None:  # bytes of a CPU
        return
    assert (batches.whole is not None) is itself
    if itself:
        for ours, theirs in zip(batches.whole, loader.batch(0), strict=True):
            assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
            assert backend.device.address(ours) == backend.device.address(theirs)


@on_gpu
def test_a_set_that_is_one_batch_is_not_copied(device: str, tmp_path, monkeypatch) -> None:
    from dlcourse.backend.cuda import graph

    config = {**CNN, "data": {"name": "spirals"}, "model": {"name": "mlp", "hidden": [8]}}
    config["train"] = {"batch_size": "full", "epochs": 20, "eval_every": 0, "log_every": 10}
    monkeypatch.setenv(capture.SWITCH, "0")
    plain = run(config, device=device, folder=tmp_path / "plain", quiet=True, plots=False)
    monkeypatch.delenv(capture.SWITCH)
    written, recordings, batch_of = [], [], graph.CapturedSteps._batch_of
    monkeypatch.setattr(DeviceBatches, "write", lambda *_: written.append(1))
    monkeypatch.setattr(
        graph.CapturedSteps, "_batch_of", lambda self, batches: recordings.append(batches) or batch_of(self, batches)
    )
    captured = run(config, device=device, folder=tmp_path / "captured", quiet=True, plots=False)
    assert captured.metrics == plain.metrics and recordings and not written


def test_a_counted_step_is_arithmetic_for_who_needs_it(device: str) -> None:
    step = DeviceCounter(backend.current().xp.full((), 5, dtype=np.int64), 1)
    step += 1
    assert isinstance(step, DeviceCounter) and step.ahead == 2
    results = 0.5**step, step * 2, 2 / step, step + 0.5, 1 - step, step - 1
    shown = [float(r.value if isinstance(r, DeviceCounter) else r) for r in results]
    assert shown == [0.5**7, 14, 2 / 7, 7.5, -6, 6]


@on_gpu
@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("numbers", ["float32", "fp16"])
def test_a_run_of_several_steps_a_launch_is_the_run(count, numbers, device, tmp_path, monkeypatch) -> None:
    from dlcourse.backend.cuda import graph

    config = {**CNN, "precision": numbers}
    monkeypatch.setenv(capture.SWITCH, "0")
    plain = run(config, device=device, folder=tmp_path / "plain", quiet=True, plots=False)
    monkeypatch.delenv(capture.SWITCH)
    monkeypatch.setattr(graph, "MULTI_STEP", ((1e9, count),))
    launches = []
    replay = graph.CapturedSteps._replay
    monkeypatch.setattr(
        graph.CapturedSteps,
        "_replay",
        lambda self, captured, step: launches.append(len(captured.losses)) or replay(self, captured, step),
    )
    captured = run(config, device=device, folder=tmp_path / "captured", quiet=True, plots=False)
    assert captured.metrics == plain.metrics

    def warned(result: object) -> list:
        return [{key: value for key, value in event.items() if key != "seconds"} for event in result.history]

    assert warned(captured) == warned(plain)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(captured.model.state_dict()[name], array)
    assert max(launches) == count
    if count > 1:  # 45 steps an epoch of 9, less the first of each kind, at the most 4 at once
        assert launches.count(count) >= 5


@on_gpu
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_run_with_default_settings_takes_many_steps_a_launch(epochs: int, device, tmp_path, monkeypatch) -> None:
    """120 steps an epoch, logged every 10, an evaluation an epoch; printed: launches by size, and looks at losses."""
    from dlcourse.backend.cuda import graph

    monkeypatch.setattr(graph, "MULTI_STEP", ((1e9, 32),))
    data = {"name": "spirals", "samples": 4800, "split": {"val": 0.1, "test": 0.1}}
    config = {**CNN, "data": data, "model": {"name": "mlp", "hidden": [4]}, "train": {"epochs": epochs}}
    launches, looks = Counter(), Counter()
    replay, look = graph.CapturedSteps._replay, DivergenceGuard.before_sync
    monkeypatch.setattr(
        graph.CapturedSteps,
        "_replay",
        lambda self, captured, step: launches.update([len(captured.losses)]) or replay(self, captured, step),
    )
    monkeypatch.setattr(
        DivergenceGuard,
        "before_sync",
        lambda self, trainer: looks.update(["looks"] if self._waiting else []) or look(self, trainer),
    )
    result = run(config, device=device, folder=tmp_path / "run", quiet=True, plots=False)
    logged = [event["step"] for event in result.history if event["event"] == "train"]
    print(f"{epochs} epochs of 120 steps: launches {dict(launches)}, {len(logged)} lines, {looks.total()} looks")
    assert logged == [1, *range(10, 120 * epochs + 1, 10)]
    # two steps run eagerly, four alone to be timed; then 114 = 3 x 32 + 16 + 2, and 120 = 3 x 32 + 16 + 8
    planned = Counter({1: 4, 2: 1, 8: epochs - 1, 16: epochs, 32: 3 * epochs})
    assert launches == +planned
    assert looks.total() <= 6 * epochs


@on_gpu
def test_lines_up_to_where_training_diverged_are_written(device, tmp_path, monkeypatch) -> None:
    from dlcourse.backend.cuda import graph
    from dlcourse.errors import DivergenceError

    config = {**CNN, "data": {"name": "spirals", "samples": 4800}, "model": {"name": "mlp", "hidden": [4]}}
    config |= {"optimizer": {"name": "sgd", "lr": 1e4}, "train": {"log_every": 4, "batch_size": 16, "l2": 1e-3}}
    warned, message = [], []
    for name, switch in (("plain", "0"), ("captured", "1")):
        monkeypatch.setenv(capture.SWITCH, switch)
        monkeypatch.setattr(graph, "MULTI_STEP", ((1e9, 32),))
        with pytest.raises(DivergenceError) as raised:
            run(config, device=device, folder=tmp_path / name, quiet=True, plots=False)
        message.append(str(raised.value))
        lines = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        warned.append([{key: value for key, value in line.items() if key != "seconds"} for line in lines])
    eager, captured = warned
    assert message[0] == message[1] and len(eager) > 2 and captured[: len(eager)] == eager
    assert {line["event"] for line in captured[len(eager) :]} <= {"divergence"}  # more steps after it, seen later


@on_gpu
def test_a_run_gone_on_with_in_the_middle_of_an_epoch(device, tmp_path, monkeypatch) -> None:
    from dlcourse.backend.cuda import graph

    monkeypatch.setattr(graph, "MULTI_STEP", ((1e9, 3),))
    config = {**CNN, "device": device, "optimizer": {"name": "adam", "lr": 0.01}}
    train = {"batch_size": 10, "log_every": 7, "eval_every": 0}
    whole = run({**config, "train": {**train, "steps": 31}}, folder=tmp_path / "a", quiet=True, plots=False)
    run({**config, "train": {**train, "steps": 16}}, folder=tmp_path / "b", quiet=True, plots=False)
    parts = run(resume=tmp_path / "b", overrides={"train.steps": 31}, quiet=True, plots=False)
    assert whole.metrics == parts.metrics
    for name, array in whole.model.state_dict().items():
        np.testing.assert_array_equal(parts.model.state_dict()[name], array)


TEXT_MODELS = [
    {"name": "char_rnn", "kind": "gru", "hidden": 6},
    {"name": "gpt", "layers": 1, "heads": 2, "width": 8},
]


@on_gpu
@pytest.mark.parametrize("model", TEXT_MODELS, ids=lambda model: model["name"])
def test_a_text_is_cut_anew_each_epoch(model: dict, device, tmp_path, monkeypatch) -> None:
    from dlcourse.backend.cuda import graph

    (tmp_path / "text.txt").write_text("To be, or not to be, that is the question: " * 12)
    config = {
        "data": {"name": "text", "path": str(tmp_path / "text.txt"), "context": 7},
        "model": model,
        "loss": {"name": "cross_entropy"},
        "optimizer": {"name": "adam", "lr": 0.01},
        "train": {"batch_size": 4, "epochs": 3},
    }
    monkeypatch.setenv(capture.SWITCH, "0")
    plain = run(config, device=device, folder=tmp_path / "plain", quiet=True, plots=False)
    monkeypatch.delenv(capture.SWITCH)
    monkeypatch.setattr(graph, "MULTI_STEP", ((1e9, 3),))
    captured = run(config, device=device, folder=tmp_path / "captured", quiet=True, plots=False)
    for name, array in plain.model.state_dict().items():
        np.testing.assert_array_equal(captured.model.state_dict()[name], array)


@pytest.mark.parametrize("shuffle", [True, False])
def test_device_batches_of_windows_makes_the_loaders_own_batches(shuffle: bool, device: str) -> None:
    from dlcourse.data.windows import WindowSplit

    place = backend.current()
    tokens = np.random.default_rng(0).integers(0, 9, 77)
    x, y = tokens[:70].reshape(10, 7), tokens[1:71].reshape(10, 7)
    part = WindowSplit(x, y, np.arange(0, 70, 7), tokens)
    loader = Loader(part, Normalizer(0.0, 1.0), place, "float32", 4, 3, shuffle)
    batches = loader.device_batches
    out = place.xp.empty(batches.x_shape, batches.x_dtype), place.xp.empty(batches.y_shape, batches.y_dtype)
    for step in (0, 1, 3, 4, 9):
        batches.prepare(step)
        batches.write(step, *out)
        for ours, theirs in zip(out, loader.batch(step), strict=True):
            np.testing.assert_array_equal(backend.to_host(ours), backend.to_host(theirs))
