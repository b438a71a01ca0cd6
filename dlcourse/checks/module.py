"""Properties of layers and models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import backend, nn, optim, serialize
from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend import random
from dlcourse.checks.arrays import furthest, gradients, host, same, tensors_of, unmodified, weighted
from dlcourse.checks.outcome import Checks, Failure, NotHere, require
from dlcourse.training.step import TrainStep

SAMPLES = 5


class Subject:
    """A layer or model that can be made anew, and inputs for it.

    Args:
        build: makes one; its initial weights follow from the seed in force.
        shape: of one input.
        tokens: how many tokens there are, where an input is a sequence of them; None for numbers.
    """

    def __init__(self, build: Callable[[], Any], shape: tuple[int, ...], tokens: int | None = None):
        self.build, self.shape, self.tokens = build, shape, tokens

    def make(self, seed: int = 0, dtype: Any = np.float32) -> Any:
        """A new one, in training mode, with the draws of its first step ahead."""
        random.manual_seed(seed)
        made = self.build().to(dtype=dtype)
        random.begin_step(0)
        return made.train()

    def inputs(self, samples: int = SAMPLES, dtype: Any = np.float32) -> Any:
        """Inputs on the device, always the same."""
        rng = np.random.Generator(np.random.Philox(3))
        size = (samples, *self.shape)
        drawn = rng.standard_normal(size).astype(dtype) if self.tokens is None else rng.integers(0, self.tokens, size)
        return backend.current().asarray(drawn)

    def as_input(self, x: Any) -> Any:
        """As a layer or model gets it."""
        return Tensor(x)

    def outputs(self, module: Any, x: Any) -> list[Tensor]:
        """Of a forward pass without a graph, with the draws of step 0."""
        random.begin_step(0)
        with no_grad():
            return tensors_of(module(self.as_input(x)))


def check_module(checks: Checks, subject: Subject, tolerance: float, width: int | None) -> None:
    """All properties that layers and models share.

    Args:
        width: how long the last axis of the output has to be; None for any.
    """
    if not checks.run("shape", lambda: _shape(subject, width)):
        return
    checks.run("dtype", lambda: _dtype(subject))
    _gradients(checks, subject, tolerance)
    if checks.outcomes[-1].what not in ("gradient of the input", "gradient, float64") and subject.tokens is None:
        passed = False if width is None else None  # below a layer there may be others
        checks.add("gradient of the input", passed, "backward gives it none, which layers below it would need")
    checks.run("every parameter gets a gradient", lambda: _all_reached(subject))
    checks.run("inputs unmodified", lambda: _unmodified(subject))
    checks.run("zero-length batch", lambda: _zero_length(subject))
    checks.run("same seed, same result", lambda: _repeats(subject))
    checks.run("state dict, there and back", lambda: _round_trip(subject))
    checks.run("train and eval", lambda: _modes(subject))
    checks.run("samples apart in eval", lambda: samples_apart(subject))


def _shape(subject: Subject, width: int | None) -> str:
    outputs = subject.outputs(subject.make(), subject.inputs())
    for output in outputs if len(outputs) == 1 else []:
        first = output.shape[0] if output.ndim else None
        require(first == SAMPLES, f"{SAMPLES} inputs of shape {subject.shape} gave {output.shape}: a row for each")
        if width is not None:
            # One that predicts a distribution puts out means and log standard deviations.
            widths = (width,) if "classification" in getattr(subject.build(), "tasks", ()) else (width, 2 * width)
            require(
                output.ndim >= 2 and output.shape[-1] in widths,
                f"expected ({SAMPLES}, {width}), out_features is {width}; came {output.shape}",
            )
    shapes = " and ".join(str(output.shape) for output in outputs)
    return f"{(SAMPLES, *subject.shape)} -> {shapes}"


def _dtype(subject: Subject) -> str:
    for dtype in (np.float32, np.float64):
        module = subject.make(dtype=dtype)
        for output in subject.outputs(module, subject.inputs(dtype=dtype)):
            wanted = np.dtype(dtype)
            hint = "; a NumPy number or array of float64 in forward widens it" if wanted == np.float32 else ""
            require(output.dtype == wanted, f"{wanted} in, {output.dtype} out{hint}")
    return "float32 -> float32, float64 -> float64"


def _gradients(checks: Checks, subject: Subject, tolerance: float) -> None:
    def parts() -> tuple[dict[str, Tensor], Callable[[], Tensor]]:
        module = subject.make(dtype=np.float64)
        x: Any = Tensor(subject.inputs(dtype=np.float64), requires_grad=subject.tokens is None)
        tensors: dict[str, Tensor] = dict(module.named_parameters())
        if subject.tokens is None and _reaches(module, x):
            tensors["the input"] = x

        def loss() -> Tensor:
            random.begin_step(0)
            return weighted(tensors_of(module(x)))

        return tensors, loss

    gradients(checks, parts, tolerance)


def _reaches(module: Any, x: Tensor) -> bool:
    """Whether a backward pass gives the input a gradient; a model of fixed features gives none."""
    random.begin_step(0)
    total = weighted(tensors_of(module(x)))
    if total.requires_grad:
        total.backward()
    reached = x.grad is not None
    x.grad = None
    module.zero_grad()
    return reached


def _all_reached(subject: Subject) -> str:
    module = subject.make(dtype=np.float64)
    parameters = dict(module.named_parameters())
    if not parameters:
        raise NotHere("there are none")
    total = weighted(tensors_of(module(Tensor(subject.inputs(dtype=np.float64)))))
    if total.requires_grad:
        total.backward()
    idle = [name for name, each in parameters.items() if each.grad is None and each.requires_grad]
    require(not idle, f"none for {', '.join(idle)}: forward does not use it, or goes through NumPy or .data")
    return f"{len(parameters)} of {len(parameters)}"


def _unmodified(subject: Subject) -> str:
    module, x = subject.make(dtype=np.float64), subject.inputs(dtype=np.float64)
    before = host(x)
    given: Any = Tensor(x, requires_grad=subject.tokens is None)
    total = weighted(tensors_of(module(given)))
    if total.requires_grad:
        total.backward()
    return unmodified([before], [x], ["the input"])


def _zero_length(subject: Subject) -> str:
    module = subject.make().eval()
    whole = subject.outputs(module, subject.inputs())
    found = subject.outputs(module, subject.inputs()[:0])
    for output, full in zip(found, whole, strict=True):
        wanted = (0, *full.shape[1:])
        if full.ndim and full.shape[0] == SAMPLES:
            require(output.shape == wanted, f"expected {wanted}, came {output.shape}")
    return f"{(0, *subject.shape)} -> {' and '.join(str(output.shape) for output in found)}"


def _repeats(subject: Subject) -> str:
    first, second = subject.make(5), subject.make(5)
    states = first.state_dict(), second.state_dict()
    require(same(states[0].values(), states[1].values()), f"the initial weights differ by {_far(*states)}; {_DRAW}")
    x = subject.inputs()
    results = subject.outputs(first, x), subject.outputs(second, x)
    far = furthest(*results)
    require(same(*results), f"in training mode the outputs differ by {far:.1e}; {_DRAW}")
    return f"weights and outputs of {len(states[0])} arrays bit for bit"


_DRAW = "draw by dlcourse.backend.random (next_generator, bernoulli), nn.init or nn.Dropout, not by numpy.random"


def _far(one: dict[str, Any], other: dict[str, Any]) -> str:
    return f"{furthest(one.values(), other.values()):.1e}"


def _round_trip(subject: Subject) -> str:
    one, other, x = subject.make(1), subject.make(2), subject.inputs()
    subject.outputs(one, x)  # in training mode, which changes running statistics
    state = one.state_dict()
    serialize.encode(Path("state.safetensors"), state, {})  # what a file cannot hold is refused here
    other.load_state_dict(state)
    results = [subject.outputs(each.eval(), x) for each in (one, other)]
    hint = "what forward depends on is a Parameter or a buffer (self.register_buffer(name, array)), else it is lost"
    require(same(*results), f"loaded into another one, the outputs differ by {furthest(*results):.1e}; {hint}")
    return f"{len(state)} arrays, outputs bit for bit"


def _modes(subject: Subject) -> str:
    module, x = subject.make(), subject.inputs()
    trained = subject.outputs(module, x)
    module.eval()
    before = {name: host(array) for name, array in module.state_dict().items()}
    first = subject.outputs(module, x)
    random.begin_step(1)
    with no_grad():
        second = tensors_of(module(subject.as_input(x)))
    require(same(first, second), f"eval() twice on one input differs by {furthest(first, second):.1e}")
    after = module.state_dict()
    require(same(before.values(), after.values()), f"a pass in eval() changed its state by {_far(before, after)}")
    module.train()
    if not same(trained, first):
        return "differ, as with dropout or batch statistics; eval repeats bit for bit and changes nothing"
    return "the same; eval repeats bit for bit and changes nothing"


def samples_apart(subject: Subject) -> str:
    """Raise Failure where in evaluation a sample's output depends on the others of its batch."""
    module, x = subject.make(dtype=np.float64).eval(), subject.inputs(dtype=np.float64)
    pairs = zip(subject.outputs(module, x), subject.outputs(module, x[1:2]), strict=True)
    batched = [(output, one) for output, one in pairs if output.ndim and output.shape[0] == SAMPLES]
    if not batched:
        raise NotHere("the first axis of the output is not that of the samples")
    whole, alone = zip(*batched, strict=True)
    far = furthest([output.data[1:2] for output in whole], alone)
    size = max(1.0, max(float(np.abs(host(output)).max(initial=0.0)) for output in whole))
    hint = "nothing of the other samples of a batch may count in eval()"
    require(far <= 1e-9 * size, f"a sample alone gives an output that differs by {far:.1e}; {hint}")
    return f"alone as in the batch, to {far:.1e}"


def check_learns(checks: Checks, subject: Subject, classes: int) -> None:
    """Of a model: Adam lowers the loss of one small batch."""

    def learns() -> str:
        model = subject.make()
        if not list(model.parameters()):
            raise NotHere("it has no parameters")
        shape = subject.outputs(model, subject.inputs())[0].shape
        loss: Any = nn.CrossEntropyLoss()
        targets: Any = (np.arange(np.prod(shape[:-1])) % classes).reshape(shape[:-1])
        if "classification" not in getattr(model, "tasks", ("classification",)):
            if shape[-1] != classes:
                raise NotHere("it predicts a distribution, for which there is no loss to try")
            loss, targets = nn.MSELoss(), np.sin(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)
        step = TrainStep(model, loss, optim.Adam(model.parameters(), lr=0.01))
        losses = [step(subject.inputs(), targets).item() for _ in range(_STEPS)]
        name = "cross-entropy" if isinstance(loss, nn.CrossEntropyLoss) else "mean squared error"
        figure = f"{name} {losses[0]:.3g} -> {losses[-1]:.3g} in {_STEPS} steps of Adam on one batch"
        if not losses[-1] < losses[0]:
            raise Failure(figure)
        return figure

    checks.run("learns one batch", learns)


_STEPS = 40
