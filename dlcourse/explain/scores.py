"""What explanations rest on: a model that stays as it was, its scores, and their gradients."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, as_tensor, enable_grad, grad, no_grad
from dlcourse.backend.device import Array, array_module
from dlcourse.errors import ArgumentError, ArgumentTypeError, ShapeError
from dlcourse.nn import Module
from dlcourse.nn.calls import in_evaluation, require_module

__all__ = ["input_gradient"]

Target = Any
"""What is explained: the number of an output, for all inputs or one for each; None: of each input the largest."""


@contextmanager
def looking_into(model: Module) -> Iterator[None]:
    """Inside the ``with`` block the model is in evaluation mode and its parameters record nothing, on its device.

    Afterwards it is as it was: gradients, flags and running statistics too.

    Raises:
        ArgumentTypeError: it is no module.
    """
    require_module(model)
    parameters = [each for each in model.parameters() if each.requires_grad]
    first = next(model.parameters(), None)
    device = backend.current() if first is None else backend.of(first.data)
    with in_evaluation(model), backend.use(device), enable_grad():
        for each in parameters:
            each.requires_grad = False
        try:
            yield
        finally:
            for each in parameters:
                each.requires_grad = True


def inputs_of(model: Module, inputs: Any) -> Array:
    """Inputs as an array of the model's type on its device.

    Raises:
        ArgumentTypeError: they have no fractions: tokens, or images that are not normalized.
        ShapeError: the model says what shape an input has, and these have another.
    """
    x = as_tensor(inputs).detach()
    if not x.is_floating_point():
        raise ArgumentTypeError(
            f"explain: expected inputs in floating point, normalized as in training, got {x.dtype}; "
            "tokens have no gradient, images become x.astype('float32')"
        )
    shape = getattr(model, "in_shape", None)
    if not x.ndim or not len(x.data) or (shape is not None and x.shape[1:] != tuple(shape)):
        expected = f"(N, {', '.join(map(str, shape))})" if shape is not None else "(N, ...)"
        hint = "; one input by itself is x[None]" if shape is not None and x.shape == tuple(shape) else ""
        raise ShapeError(f"explain: expected a batch of inputs {expected}, got {x.shape}{hint}")
    first = next(model.parameters(), x)
    return x.to(first.device, first.dtype).data


def outputs_of(model: Module, x: Array) -> Tensor:
    """The model's scores (N, K) for inputs.

    Raises:
        ShapeError: it gives something else.
    """
    outputs = model(Tensor(x) if not isinstance(x, Tensor) else x)
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or outputs.shape[0] != x.shape[0]:
        got = f"shape {outputs.shape}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise ShapeError(f"explain: expected a model whose output is scores (N, K), got {got}")
    return outputs


def targets_of(model: Module, x: Array, target: Target) -> Array:
    """The number of an output for each input, (N,), where they lie.

    Raises:
        ArgumentError: there is no such output.
        ArgumentTypeError: it is no whole number, or not one for each input.
    """
    with no_grad():
        scores = outputs_of(model, x).data
    xp, (count, classes) = array_module(scores), scores.shape
    if target is None:
        return scores.argmax(axis=1)
    given = target.numpy() if isinstance(target, Tensor) else np.asarray(backend.to_host(target))
    if given.dtype.kind not in "iu" or given.shape not in ((), (count,)):
        raise ArgumentTypeError(
            f"target: expected the number of an output, or {count} of them, one for each input, got {target!r}"
        )
    if given.size and not (0 <= given.min() and given.max() < classes):
        raise ArgumentError(f"target: the outputs are 0..{classes - 1}, got {target!r}")
    return xp.asarray(np.broadcast_to(given, (count,)).astype(np.int64))


def scores_at(model: Module, x: Array, target: Array) -> Array:
    """The scores (N,) of these outputs."""
    with no_grad():
        scores = outputs_of(model, x).data
    return scores[array_module(scores).arange(len(scores)), target]


def gradient(outputs: Tensor, at: Tensor, target: Array) -> Array:
    """d score / d ``at`` for the scores of these outputs.

    Raises:
        ArgumentError: no gradient comes from there.
    """
    if not outputs.requires_grad:
        raise ArgumentError(
            "explain: no gradient leads from the model's scores to its inputs, as of a vote of neighbors; "
            "occlusion needs none"
        )
    xp = array_module(outputs.data)
    one_hot = (xp.arange(outputs.shape[1]) == target[:, None]).astype(outputs.dtype)
    (found,) = grad(outputs, at, one_hot, allow_unused=True)
    return xp.zeros_like(at.data) if found is None else found.data


def input_gradient_at(model: Module, x: Array, target: Array) -> Array:
    """d score / d input, of x's shape."""
    leaf = Tensor(x, requires_grad=True)
    return gradient(outputs_of(model, leaf), leaf, target)


def input_gradient(model: Module, inputs: Any, target: Target = None) -> Tensor:
    """d score / d input: how a small change of each number of an input would change the score of its class.

    The score is an output before softmax: of a probability near 1 the gradient vanishes. The model is in evaluation
    mode meanwhile and stays as it was. As Captum's ``Saliency`` with ``abs=False``.

    Args:
        model: gives scores (N, K).
        inputs: (N, ...) in floating point, normalized as in training.
        target: the output to explain, one number or one for each input; None: of each input the largest.
    Returns:
        Of the inputs' shape.
    Raises:
        ShapeError, ArgumentError: inputs, target or the model's output are not as they should be.
    Example:
        >>> model = nn.Linear(2, 3)
        >>> gradient = dl.explain.input_gradient(model, np.ones((1, 2), "float32"), target=1)
        >>> bool((gradient.numpy()[0] == model.weight.numpy()[1]).all())
        True
    """
    with looking_into(model):
        x = inputs_of(model, inputs)
        return Tensor(input_gradient_at(model, x, targets_of(model, x, target)))
