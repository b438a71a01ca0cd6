"""A tiny problem for tests of the loop: the real step, loader and metrics on a few samples."""

from collections.abc import Sequence

import numpy as np

from dlcourse import backend, nn, optim
from dlcourse.data import Loader, Normalizer, Split
from dlcourse.metrics.squares import MeanSquaredError
from dlcourse.nn import MSELoss
from dlcourse.training.callback import Callback
from dlcourse.training.step import TrainStep
from dlcourse.training.trainer import Trainer

METRICS = {"mse": MeanSquaredError()}


def part(samples: int = 10, offset: float = 0.0) -> Split:
    x = np.linspace(-1, 1, samples)[:, None]
    return Split(x, 3 * x + 1 + offset, np.arange(samples))


def loader(each: Split, batch_size: int | str = 4, shuffle: bool = True) -> Loader:
    normalizer = Normalizer(np.zeros(1), np.ones(1))
    return Loader(each, normalizer, backend.get("cpu"), np.float32, batch_size, seed=3, shuffle=shuffle)


def trainer(steps: int, callbacks: Sequence[Callback] = (), lr: float = 0.1) -> Trainer:
    """A line fitted to ten points in batches of 4, 4 and 2."""
    backend.random.manual_seed(0)
    model = nn.Linear(1, 1)
    step = TrainStep(model, MSELoss(), optim.SGD(model.parameters(), lr=lr, momentum=0.9))
    return Trainer(model, step, loader(part()), steps, callbacks)
