"""Properties of optimizers and schedules."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter
from dlcourse.checks.arrays import furthest, host, same, unmodified
from dlcourse.checks.outcome import Checks, require

STEPS = 60
SHAPES = ((3, 2), (2,), ())


def _parameters(dtype: Any = np.float32, shapes: tuple[tuple[int, ...], ...] = SHAPES) -> list[Parameter]:
    rng = np.random.Generator(np.random.Philox(13))
    return [Parameter(backend.current().asarray(1 + rng.random(shape), dtype=dtype)) for shape in shapes]


def _cost(parameters: list[Parameter]) -> Any:
    """1/2 sum w^2 with curvatures 1, 2, ..."""
    total: Any = 0.0
    for number, each in enumerate(parameters, 1):
        total = total + (each * each).sum() * (0.5 * number)
    return total


def _step(parameters: list[Parameter], optimizer: Any) -> float:
    def closure() -> Any:
        optimizer.zero_grad()
        cost = _cost(parameters)
        cost.backward()
        return cost

    if optimizer.needs_closure:
        return optimizer.step(closure).item()
    cost = closure()
    optimizer.step()
    return cost.item()


def check_optimizer(checks: Checks, make: Callable[[list[Parameter]], Any]) -> None:
    """All properties of an optimizer that takes steps."""
    searches = make(_parameters()).needs_closure  # what it raises is reported once
    checks.run("lowers a quadratic", lambda: _lowers(make))
    checks.run("dtype and shapes", lambda: _kept(make))
    if not searches:  # else it takes no gradient of another's
        checks.run("gradient unmodified", lambda: _gradient_unmodified(make))
        checks.run("zero gradient, zero length", lambda: _zeros(make))
    checks.run("same steps, same result", lambda: _repeats(make))
    checks.run("state dict, there and back", lambda: _round_trip(make))
    checks.run("frozen parameters stay", lambda: _frozen(make))


def _lowers(make: Callable[[list[Parameter]], Any]) -> str:
    parameters = _parameters()
    optimizer = make(parameters)
    costs = [_step(parameters, optimizer) for _ in range(STEPS)]
    require(bool(np.isfinite(costs).all()), f"a cost of {costs[0]:.4g} became {costs[-1]} in {STEPS} steps")
    figure = f"{costs[0]:.4g} -> {costs[-1]:.4g} in {STEPS} steps"
    require(costs[-1] < costs[0], f"{figure}: the sign of the update? (example = {{'lr': ...}} names another rate)")
    return figure


def _kept(make: Callable[[list[Parameter]], Any]) -> str:
    for dtype in (np.float32, np.float64):
        parameters = _parameters(dtype)
        _step(parameters, make(parameters))
        for each, shape in zip(parameters, SHAPES, strict=True):
            came = f"{each.shape} {each.dtype}"
            require(each.shape == shape and each.dtype == np.dtype(dtype), f"{shape} {np.dtype(dtype)} became {came}")
    return f"{len(SHAPES)} parameters keep theirs, in float32 and float64"


def _gradient_unmodified(make: Callable[[list[Parameter]], Any]) -> str:
    parameters = _parameters()
    optimizer = make(parameters)
    _cost(parameters).backward()
    gradient = optimizer.flat.gather_grad()
    before = host(gradient)
    optimizer.steps = 1
    optimizer.update(optimizer.flat.data, gradient)
    return unmodified([before], [gradient], ["the gradient"])


def _zeros(make: Callable[[list[Parameter]], Any]) -> str:
    parameters = _parameters(shapes=((2,), (0, 3)))
    optimizer = make(parameters)
    for each in parameters:
        each.grad = np.zeros(each.shape, np.float32)
    optimizer.step()
    values = host(parameters[0])
    require(bool(np.isfinite(values).all()), f"a gradient of 0 gives {values.tolist()}; a division needs an eps")
    return f"finite, and an empty parameter stays {parameters[1].shape}"


def _after(make: Callable[[list[Parameter]], Any], steps: int) -> tuple[list[Parameter], Any]:
    parameters = _parameters()
    optimizer = make(parameters)
    for _ in range(steps):
        _step(parameters, optimizer)
    return parameters, optimizer


def _repeats(make: Callable[[list[Parameter]], Any]) -> str:
    (one, _), (other, _) = _after(make, 5), _after(make, 5)
    require(same(one, other), f"5 steps from the same start differ by {furthest(one, other):.1e}")
    return "5 steps bit for bit"


def _round_trip(make: Callable[[list[Parameter]], Any]) -> str:
    whole, _ = _after(make, 6)
    half, first = _after(make, 3)
    resumed = [Parameter(backend.current().asarray(host(each))) for each in half]
    second = make(resumed)
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        _step(resumed, second)
    hint = (
        "name what lasts from step to step: super().__init__(params, lr, state=('velocity',)), self.state['velocity']"
    )
    require(same(whole, resumed), f"3 + 3 steps differ from 6 by {furthest(whole, resumed):.1e}; {hint}")
    return f"3 + 3 steps are 6 bit for bit; arrays: {', '.join(first.state_dict()['arrays']) or 'none'}"


def _frozen(make: Callable[[list[Parameter]], Any]) -> str:
    parameters = _parameters()
    optimizer = make(parameters)
    if not optimizer.needs_closure:  # which may be at the minimum after it
        _step(parameters, optimizer)
    parameters[0].requires_grad = False
    before = [host(each) for each in parameters]
    _step(parameters, optimizer)
    require(same([before[0]], [parameters[0]]), "a frozen one moved")
    require(not same([before[1]], [parameters[1]]), "beside a frozen one the others stand still")
    return "one stays, the others move"


def _some(factors: list[float]) -> str:
    shown = ", ".join(f"{factor:.3g}" for factor in factors[:5])
    return f"{shown}, ... {factors[-1]:.3g}"


def check_schedule(checks: Checks, make: Callable[[int], Any]) -> None:
    """All properties of a schedule."""

    def factors() -> str:
        schedule = make(20)
        found = [float(schedule.factor(step)) for step in range(20)]
        require(
            bool(np.isfinite(found).all()) and min(found) >= 0,
            f"expected finite factors of at least 0, came {_some(found)}",
        )
        return f"from {found[0]:.3g} to {found[-1]:.3g} in 20 steps, at most {max(found):.3g}"

    def no_memory() -> str:
        forward, backward = make(20), make(20)
        there = [forward.factor(step) for step in range(20)]
        back = [backward.factor(step) for step in reversed(range(20))][::-1]
        require(there == back, "asked from the end it gives other factors: it may depend on the step alone")
        return "the same in any order"

    if checks.run("factors", factors):
        checks.run("a function of the step", no_memory)
        checks.run("a training of one step", lambda: f"factor {float(make(1).factor(0)):.3g}")
