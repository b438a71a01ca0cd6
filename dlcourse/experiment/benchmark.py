"""Measure the training step of a config: its time, its phases, and the bound of the matrix product."""

import statistics
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import Backend, tracing
from dlcourse.backend.kernels.linear import product
from dlcourse.config import Config
from dlcourse.errors import UserError
from dlcourse.experiment.experiment import Experiment
from dlcourse.nn.summary import summarize
from dlcourse.training.profile import Profile
from dlcourse.training.trainer import Trainer

WARM_UP = 5
MAX_AT_ONCE = 64
GEMM_SIZE = 1536
BACKWARD_COST = 3
"""Forward and backward take about three times the forward pass's arithmetic: each product has two gradients."""


@dataclass(frozen=True)
class StepTiming:
    """What one training step costs.

    Attributes:
        milliseconds: median, least and largest over the steps timed, the batch included.
        loader_share: of the batch in that time.
        phases: milliseconds a step by phase, from steps timed apart: their boundaries cost something too.
        samples: in one batch.
        gflops: arithmetic of one step, forward and backward, in 10^9 operations.
        gemm_rate: 10^9 operations a second of a large matrix product, measured here and now.
        page_faults: fresh pages of 4 KiB that the system had to hand out, a step; None where it does not say.
        steps: how many were timed.
    """

    milliseconds: tuple[float, float, float]
    loader_share: float
    phases: dict[str, float]
    samples: int
    gflops: float
    gemm_rate: float
    page_faults: float | None
    steps: int

    @property
    def gemm_share(self) -> float:
        """The share of the time that the arithmetic would take at the matrix product's rate."""
        return self.gflops / self.gemm_rate / (self.milliseconds[0] / 1e3)


def time_steps(config: Config, device: Backend, seconds: float) -> StepTiming:
    """Time training steps of a config for about so many seconds, after a warm-up.

    Raises:
        UserError: the config is solved in closed form.
    """
    experiment = Experiment.from_config(config, device)
    if experiment.closed_form:
        raise UserError("a closed form takes one step, and no second one like it: there is nothing to time")
    step, loader, model = experiment.train_step(), experiment.loader, experiment.model
    model.train()
    x, _ = loader.batch(0)
    with no_grad():
        flops = summarize(model.eval(), Tensor(x[:1])).flops
    model.train()
    while step.step < WARM_UP:
        _advance(step, loader)
    backend.synchronize()
    first, deadline, faults = step.step, time.perf_counter() + seconds / 2, _page_faults()
    whole: list[float] = []
    fetching: list[float] = []
    while not whole or time.perf_counter() < deadline:
        before, began = step.step, time.perf_counter()
        fetch = _advance(step, loader)
        backend.synchronize()
        taken = step.step - before
        whole.append(1e3 * (time.perf_counter() - began) / taken)
        fetching.append(1e3 * fetch / taken)
    steps = step.step - first
    now = _page_faults()
    spent = None if now is None or faults is None else (now - faults) / steps
    return StepTiming(
        (statistics.median(whole), min(whole), max(whole)),
        sum(fetching) / sum(whole),
        _parts(experiment, step, loader, max(1, round(seconds / 2 / (statistics.median(whole) / 1e3)))),
        len(x),
        BACKWARD_COST * len(x) * flops / 1e9,
        _gemm_rate(device, experiment.dtype),
        spent,
        steps,
    )


def _advance(step: Any, loader: Any) -> float:
    """Take as many steps as the device takes at once; returns the seconds that a batch from the loader took, if any."""
    times = [0.0, 0.0]

    def listen(phase: str | None) -> None:
        if phase == "data":
            times[0] = time.perf_counter()
        elif not times[1]:  # the first phase after it
            backend.synchronize()
            times[1] = time.perf_counter()

    with tracing.listening_to_phases(listen):
        step.runner.advance(step, loader, MAX_AT_ONCE)
    return times[1] - times[0]


def _parts(experiment: Experiment, step: Any, loader: Any, count: int) -> dict[str, float]:
    """Milliseconds a step by phase, by the same means as ``--profile``."""
    profile = Profile()
    Trainer(experiment.model, step, loader, step.step + count, [profile]).run()
    return {phase: 1e3 * spent / count for phase, spent in profile.seconds.items() if spent}


def _gemm_rate(device: Backend, dtype: Any) -> float:
    """10^9 operations a second of a product of two square matrices, the best of five."""
    a = device.xp.ones((GEMM_SIZE, GEMM_SIZE), dtype=dtype)
    best = np.inf
    for _ in range(6):
        began = time.perf_counter()
        product(a, a, None)  # by the way that the layers take
        device.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * GEMM_SIZE**3 / best / 1e9


def _page_faults() -> int | None:
    try:
        import resource
    except ImportError:  # no such thing on Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
