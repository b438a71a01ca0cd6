"""A data set for which a GPU has no room: batches come through two buffers, and are those of a set that lies there."""

import weakref

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.config.data_sections import Augment
from dlcourse.data import Loader, Split
from dlcourse.data.normalizer import Normalizer
from dlcourse.experiment import run

on_gpu = pytest.mark.skipif("config.getoption('--device') != 'cuda'", reason="for a GPU's memory (--device cuda)")

KINDS = ["bytes", "numbers", "tokens"]


def part(kind: str, samples: int = 23) -> Split:
    rng = np.random.default_rng(0)
    x = {
        "bytes": rng.integers(0, 256, (samples, 4, 5, 3)).astype(np.uint8),
        "numbers": rng.normal(size=(samples, 7)),
        "tokens": rng.integers(0, 9, (samples, 6)),
    }[kind]
    return Split(x, rng.integers(0, 4, samples), np.arange(samples))


def loader(kind: str, monkeypatch: pytest.MonkeyPatch, room: int, **settings: object) -> Loader:
    monkeypatch.setattr(backend.Backend, "data_budget_bytes", lambda self: room)
    normalizer = Normalizer(np.full(3 if kind == "bytes" else 7, 2.0), np.full(3 if kind == "bytes" else 7, 3.0))
    return Loader(part(kind), normalizer, backend.current(), "float32", 5, 3, **settings)


@on_gpu
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_those_of_a_set_on_the_device(kind: str, shuffle: bool, device: str, monkeypatch) -> None:
    augment = Augment(flip=True, crop=1) if kind == "bytes" else None
    resident = loader(kind, monkeypatch, 1 << 40, shuffle=shuffle, augment=augment)
    streamed = loader(kind, monkeypatch, 64, shuffle=shuffle, augment=augment)
    assert resident.device_batches is not None and streamed.device_batches is None
    assert isinstance(streamed._store.x, np.ndarray) and streamed._store.streamed
    # One after another into the second epoch; then elsewhere, as a resumed run, and back.
    for step in [*range(8), 13, 14, 2, 3]:
        for ours, theirs in zip(streamed.batch(step), resident.batch(step), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(backend.to_host(ours), backend.to_host(theirs))
    for ours, theirs in zip(streamed.batches(), resident.batches(), strict=True):
        np.testing.assert_array_equal(backend.to_host(ours[0]), backend.to_host(theirs[0]))


@on_gpu
def test_a_buffer_is_not_overwritten_while_its_batch_may_be_read(device: str) -> None:
    from dlcourse.backend.cuda.staging import DoubleBuffer

    message: list[str] = []

    class Told:
        """An event that records what waits for it."""

        def __init__(self, name: str):
            self.name, self.at = name, 0

        def record(self, stream: object = None) -> None:
            message.append(f"record {self.name}")

        def synchronize(self) -> None:
            message.append(f"host waits {self.name}")

    buffer = DoubleBuffer(backend.current(), (4, 2), np.dtype("float32"))
    buffer._copied, buffer._used = ([Told(f"{what}{i}") for i in range(2)] for what in ("copied", "used"))
    for stream in (buffer._stream,):
        stream.wait_event = lambda event: message.append(f"copy waits {event.name}")
    batches = [buffer.put(np.full((3, 2), i)) for i in range(2)]
    buffer.done(batches[0])
    batches.append(buffer.put(np.full((2, 2), 2)))
    assert message == [
        *("copy waits used0", "record copied0"),
        *("copy waits used1", "record copied1"),
        "record used0",
        # The third batch goes into the first buffer: once its copy is over the host fills it, once its batch is used
        # the device is written to.
        *("host waits copied0", "copy waits used0", "record copied0"),
    ]
    assert [len(buffer._arrays[slot][:count]) for slot, count in batches] == [3, 3, 2]


@on_gpu
def test_its_memory_is_given_back_when_the_last_copy_is_over(device: str, monkeypatch) -> None:
    from dlcourse.backend.cuda.staging import DoubleBuffer

    held: list[bool] = []
    monkeypatch.setattr(backend.current().xp.cuda.Stream, "synchronize", lambda _: held.append(host() is not None))
    buffer = DoubleBuffer(backend.current(), (4, 2), np.dtype("float32"))
    host = weakref.ref(buffer._host[0])
    buffer.put(np.ones((4, 2)))
    assert not held
    del buffer
    assert held == [True] and host() is None


@on_gpu
def test_what_goes_wrong_in_reading_is_raised_where_the_batch_is_asked_for(device: str, monkeypatch) -> None:
    streamed = loader("numbers", monkeypatch, 64)
    streamed.batch(0)
    monkeypatch.setattr(streamed._store, "read", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        for step in range(1, 4):
            streamed.batch(step)


@on_gpu
def test_a_run_is_the_same_run(device: str, tmp_path, monkeypatch) -> None:
    config = {
        "data": {"name": "synthetic_images", "samples": 150, "image_size": 8, "channels": 3, "classes": 3},
        "model": {"name": "mlp", "hidden": [8]},
        "loss": {"name": "cross_entropy"},
        "optimizer": {"name": "sgd", "lr": 0.05},
        "train": {"batch_size": 20, "epochs": 3},
    }
    resident = run(config, device=device, folder=tmp_path / "resident", quiet=True, plots=False)
    monkeypatch.setattr(backend.Backend, "data_budget_bytes", lambda self: 64)
    streamed = run(config, device=device, folder=tmp_path / "streamed", quiet=True, plots=False)
    assert streamed.metrics == resident.metrics
