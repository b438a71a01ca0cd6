"""Properties of losses and metrics, which judge outputs by targets."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, no_grad
from dlcourse.checks.arrays import gradients, host, unmodified
from dlcourse.checks.outcome import Checks, Failure, require
from dlcourse.errors import UserError

SAMPLES, WIDTH = 8, 6

DISTRIBUTION = "regression of a distribution"
"""Outputs twice as wide as the targets: means and log standard deviations."""

TASKS = {
    "classification": "logits (8, 6), labels (8,)",
    "regression": "predictions (8, 6), targets (8, 6)",
    DISTRIBUTION: "means and log standard deviations (8, 12), targets (8, 6)",
}


_PLAIN = ("classification", "regression")


def pairs(task: str, dtype: Any = np.float32, samples: int = SAMPLES, scale: float = 1.0) -> tuple[Any, Any]:
    """Outputs and targets of a task, always the same, on the device."""
    rng = np.random.Generator(np.random.Philox(11))
    outputs = (scale * rng.standard_normal((samples, 2 * WIDTH if task == DISTRIBUTION else WIDTH))).astype(dtype)
    targets: Any = rng.integers(0, WIDTH, samples)
    outputs[np.arange(samples), targets] += np.arange(samples) % 2 * 3 * scale  # every other one is right
    if task != "classification":
        targets = rng.standard_normal((samples, WIDTH)).astype(dtype)
    device = backend.current()
    return device.asarray(outputs), device.asarray(targets)


def tasks_of(cls: type, judge: Callable[[Any, Any], Any]) -> list[str]:
    """The tasks of a loss or metric for which there are arrays to try.

    Args:
        judge: of outputs and targets.
    """
    tasks = [task for task in _PLAIN if task in getattr(cls, "tasks", _PLAIN)]
    if tasks == ["regression"]:
        try:
            judge(*pairs("regression"))
        except (Exception, SystemExit):  # whatever a user's own code raises; the first check shows what it was
            try:
                judge(*pairs(DISTRIBUTION))
                return [DISTRIBUTION]
            except (Exception, SystemExit):
                pass
    return tasks


def check_loss(checks: Checks, make: Callable[[], Any], task: str, tolerance: float) -> None:
    """All properties of a loss on one task."""

    def value(outputs: Any, targets: Any) -> float:
        with no_grad():
            return _scalar(make()(Tensor(outputs), targets)).item()

    def shape() -> str:
        found = value(*pairs(task, np.float64))
        require(np.isfinite(found), f"the loss of {TASKS[task]} is {found}")
        return f"{TASKS[task]} -> {found:.6g}"

    if not checks.run("shape", shape):
        return
    checks.run("dtype", lambda: _loss_dtype(make, task))
    outputs, targets = pairs(task, np.float64)
    given, loss = Tensor(outputs, requires_grad=True), make()
    gradients(checks, lambda: ({"the outputs": given}, lambda: _scalar(loss(given, targets))), tolerance)
    checks.run("inputs unmodified", lambda: _loss_unmodified(make(), task))
    checks.run("zero-length batch", lambda: _loss_of_none(value, task))
    checks.run("same inputs, same result", lambda: _same_loss(value, task))
    checks.run("batch of a batch", lambda: _reduction(value, make(), task))
    if task != DISTRIBUTION:  # of which a standard deviation of e^10000 is no number
        checks.run("large outputs", lambda: _large(value, task))


def _scalar(found: Any) -> Tensor:
    if not isinstance(found, Tensor):
        raise Failure(f"expected a tensor of one number, came {'None' if found is None else type(found).__name__}")
    require(found.size == 1, f"expected one number, came the shape {found.shape}: take .mean()")
    return found


def _loss_dtype(make: Callable[[], Any], task: str) -> str:
    for dtype in (np.float32, np.float64):
        outputs, targets = pairs(task, dtype)
        found = _scalar(make()(Tensor(outputs), targets)).dtype
        require(found == np.dtype(dtype), f"{np.dtype(dtype)} in, {found} out")
    return "float32 -> float32, float64 -> float64"


def _loss_unmodified(loss: Any, task: str) -> str:
    outputs, targets = pairs(task, np.float64)
    before = [host(outputs), host(targets)]
    found = _scalar(loss(Tensor(outputs, requires_grad=True), targets))
    if found.requires_grad:
        found.backward()
    return unmodified(before, [outputs, targets], ["outputs", "targets"])


def _loss_of_none(value: Callable[..., float], task: str) -> str:
    with np.errstate(all="ignore"):
        try:
            return f"gives {value(*pairs(task, samples=0)):g}"
        except UserError as error:
            return f"is refused: {error}"


def _same_loss(value: Callable[..., float], task: str) -> str:
    first, second = value(*pairs(task)), value(*pairs(task))
    require(first == second, f"{first!r} and then {second!r}")
    return f"{first:.9g} twice"


def _reduction(value: Callable[..., float], loss: Any, task: str) -> str:
    outputs, targets = pairs(task, np.float64)
    doubled = [np.concatenate([host(each)] * 2) for each in (outputs, targets)]
    once, twice = value(outputs, targets), value(*map(backend.current().asarray, doubled))
    reduction = getattr(loss, "reduction", "mean")
    factor = 2 if reduction == "sum" else 1
    kind = "a sum over samples: set reduction = 'sum'" if abs(twice - 2 * once) <= 1e-9 * abs(once) else "neither"
    require(
        abs(twice - factor * once) <= 1e-9 * max(1.0, abs(once)),
        f"of every sample twice the loss is {twice:.6g}, of each once {once:.6g}: expected {factor * once:.6g} by its "
        f"reduction {reduction!r} (it looks like {kind})",
    )
    return f"every sample twice gives {twice / once if once else 1:.3g} times the loss, as reduction {reduction!r} says"


def _large(value: Callable[..., float], task: str) -> str:
    with np.errstate(all="ignore"):
        found = value(*pairs(task, scale=1e4))
    require(np.isfinite(found), f"outputs of 1e4 in float32 give {found}; F.log_softmax and F.softplus do not overflow")
    return f"outputs of 1e4 in float32 give {found:.4g}"


def check_metric(checks: Checks, make: Callable[[], Any], task: str) -> None:
    """All properties of a metric on one task."""

    def measured(outputs: Any, targets: Any, cuts: tuple[int, ...] = ()) -> float:
        metric = make()
        edges = [0, *cuts, len(outputs)]
        for start, stop in zip(edges, edges[1:], strict=False):
            metric.update(outputs[start:stop], targets[start:stop])
        return _number(metric.compute())

    def shape() -> str:
        metric = make()
        if hasattr(metric, "check_classes"):
            metric.check_classes(WIDTH)
        return f"{TASKS[task]} -> {measured(*pairs(task)):.6g}"

    if not checks.run("shape", shape):
        return
    checks.run("dtype", lambda: _metric_dtype(measured, task))
    checks.run("inputs unmodified", lambda: _metric_unmodified(make(), task))
    checks.run("zero-length batch", lambda: _metric_of_none(make(), measured, task))
    checks.run("same inputs, same result", lambda: _same_loss(measured, task))
    checks.run("in three batches as in one", lambda: _in_parts(measured, task))
    checks.run("reset", lambda: _reset(make(), measured, task))


def _number(found: Any) -> float:
    if not isinstance(found, float | int) or isinstance(found, bool):
        raise Failure(f"compute(): expected a float, came {'None' if found is None else type(found).__name__}")
    return float(found)


def _close(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= 1e-9 * max(1.0, abs(other)) or (one != one and other != other)


def _metric_dtype(measured: Callable[..., float], task: str) -> str:
    exact, rounded = measured(*pairs(task, np.float64)), measured(*pairs(task, np.float32))
    require(abs(exact - rounded) <= 1e-4 * max(1.0, abs(exact)), f"float64 gives {exact:.6g}, float32 {rounded:.6g}")
    return f"float64 {exact:.9g}, float32 {rounded:.9g}"


def _metric_unmodified(metric: Any, task: str) -> str:
    outputs, targets = pairs(task)
    before = [host(outputs), host(targets)]
    metric.update(outputs, targets)
    metric.compute()
    return unmodified(before, [outputs, targets], ["outputs", "targets"])


def _metric_of_none(metric: Any, measured: Callable[..., float], task: str) -> str:
    with np.errstate(all="ignore"):
        empty = _number(metric.compute())
    whole = measured(*pairs(task))
    with_none = measured(*pairs(task), cuts=(0, 0))
    require(_close(with_none, whole), f"an empty batch changes the metric from {whole:.6g} to {with_none:.6g}")
    return f"changes nothing; compute() before any batch gives {empty:g}"


def _in_parts(measured: Callable[..., float], task: str) -> str:
    whole, parts = measured(*pairs(task)), measured(*pairs(task), cuts=(1, 3))
    hint = "add up in update(), divide in compute(); a mean of the batches' means is another number"
    require(_close(parts, whole), f"batches of 1, 2 and 5 samples give {parts:.6g}, one of 8 gives {whole:.6g}; {hint}")
    return f"{parts:.9g} and {whole:.9g}"


def _reset(metric: Any, measured: Callable[..., float], task: str) -> str:
    outputs, targets = pairs(task)
    metric.update(outputs[:2] * 3, targets[:2])
    metric.reset()
    metric.update(outputs, targets)
    found, wanted = _number(metric.compute()), measured(outputs, targets)
    require(_close(found, wanted), f"after reset() {found:.6g}, a new one gives {wanted:.6g}")
    return f"{found:.9g} after it, as a new one"
