"""The settings that PyTorch samples for one optimizer: twenty steps on a small net, there and here."""

from functools import cache
from typing import Any

import numpy as np

import dlcourse as dl
from tests.pytorch_samples import source
from tests.pytorch_samples.compare import Sample, Tally, called, close, described, quiet, refuses
from tests.pytorch_samples.mapping import LENIENT, OPTIMIZERS

STEPS = 20


@cache
def tally(name: str) -> Tally:
    """What comes of the settings that PyTorch samples for the optimizer, and of those that it refuses."""
    import torch

    counted = Tally()
    for info in (info for info in source.table("optim_db") if info.optim_cls.__name__ == name):
        for sample in info.optim_inputs_func(device="cpu"):
            counted.note(run, described(sample.kwargs), info, sample)
        for error in quiet(lambda info=info: list(info.optim_error_inputs_func("cpu", torch.float64))):
            if not issubclass(error.error_type, Warning):
                counted.note(run_error, described(error.optimizer_error_input.kwargs), info, error)
    return counted


def run(info: Any, sample: Any) -> str:
    """The weights agree after twenty steps."""
    import torch

    start = _start()
    theirs = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    x, y = (torch.tensor(array) for array in _data())
    torch.set_default_dtype(torch.float64)  # in which NAdam and ASGD keep their numbers; float32 else
    optimizer = info.optim_cls(theirs.values(), **sample.kwargs)
    ours = {name: dl.Parameter(array.copy()) for name, array in start.items()}
    own = called(OPTIMIZERS[info.optim_cls.__name__], (ours.values(),), Sample().ours(sample.kwargs))
    x_own, y_own = (dl.tensor(array) for array in _data())
    for _ in range(STEPS):
        for step, w, inputs, targets in ((optimizer, theirs, x, y), (own, ours, x_own, y_own)):
            step.zero_grad()
            hidden = 1 / (1 + (-(inputs @ w["weight"] + w["bias"])).exp())
            ((hidden @ w["out"] - targets) ** 2).mean().backward()
            step.step()
    torch.set_default_dtype(torch.float32)
    for name in start:
        close(name, ours[name].numpy(), theirs[name].detach().numpy())
    return "equal"


def run_error(info: Any, error: Any) -> str:
    """Settings that PyTorch's optimizer refuses are refused here."""
    sample = error.optimizer_error_input
    params = [dl.Parameter(array) for array in _start().values()]
    if sample.params is not None:
        params = Sample().ours(sample.params)
    kwargs = Sample().ours(sample.kwargs)
    name = info.optim_cls.__name__
    return refuses(lambda: called(OPTIMIZERS[name], (params,), kwargs), error.error_regex, LENIENT.get(name))


def _start() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"weight": rng.normal(size=(4, 5)), "bias": rng.normal(size=5), "out": rng.normal(size=(5, 2))}


def _data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(8, 4)), rng.normal(size=(8, 2))
