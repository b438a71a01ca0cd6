"""The layers of a model: what each gives for some inputs, and which are the convolutions."""

from collections.abc import Sequence
from typing import Any

from dlcourse.autograd import Tensor, no_grad
from dlcourse.backend.device import Array, array_module
from dlcourse.errors import ArgumentError, ArgumentTypeError
from dlcourse.explain.scores import inputs_of, looking_into
from dlcourse.nn import Linear, Module
from dlcourse.nn.calls import noting_calls, require_module
from dlcourse.nn.conv import Convolution

__all__ = ["activations", "convolutional_layers", "features", "filters"]

Layer = Any
"""A module of a model, or its dotted name."""


def module_of(model: Module, layer: Layer) -> Module:
    """A module by its dotted name, or itself.

    Raises:
        ArgumentError: the model has none.
    """
    if isinstance(layer, Module):
        if any(layer is each for each in model.modules()):
            return layer
        raise ArgumentError(f"layer: this {type(layer).__name__} is no module of the model")
    if not isinstance(layer, str):
        raise ArgumentTypeError(f"layer: expected a module or its name, got {layer!r}")
    try:
        return model.get_submodule(layer)
    except AttributeError as error:
        raise ArgumentError(f"layer: {error}") from None


def name_of(model: Module, module: Module) -> str:
    """The dotted name of a module of the model."""
    return next(name for name, each in model.named_modules() if each is module)


def called(model: Module, x: Array) -> list[tuple[Module, Tensor, Any]]:
    """Each call of a module in one forward pass, in the order in which they end: module, first input, output."""
    found: list[tuple[Module, Tensor, Any]] = []
    with noting_calls(model.modules(), lambda module, inputs, output: found.append((module, inputs[0], output))):
        with no_grad():
            model(Tensor(x))
    return found


def stages_of(model: Module, x: Array) -> dict[str, Module]:
    """See :func:`convolutional_layers`; for an array of inputs, in a block of :func:`looking_into`."""
    stages: list[tuple[Module, Any]] = []
    open_ended = False
    for module, _, output in called(model, x):
        if isinstance(module, Convolution):
            stages.append((module, output))
            open_ended = True
        elif stages and open_ended:
            same = isinstance(output, Tensor) and output.shape[:-1] == stages[-1][1].shape[:-1]
            if same and output is not stages[-1][1]:  # a container gives what its last module gave
                stages[-1] = module, output
            open_ended = same
    return {name_of(model, module): module for module, _ in stages}


def convolutional_layers(model: Module, inputs: Any) -> dict[str, Module]:
    """For each convolution that the inputs meet, the layer that ends its work: where its maps are whole.

    That is the last module called behind it that keeps the maps' size: its normalization, its activation, or the block
    that adds its input. Of a layer called twice, once.

    Returns:
        Modules by dotted name, in the order of the calls.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
        >>> list(dl.explain.convolutional_layers(model, np.ones((1, 8, 8, 3), "float32")))
        ['1', '3']
    """
    with looking_into(model):
        return stages_of(model, inputs_of(model, inputs))


def activations(model: Module, inputs: Any, layer: Layer | Sequence[Layer] | None = None) -> Any:
    """What layers give for inputs: maps (N, H, W, C) of a convolution, numbers (N, D) of a linear layer.

    Args:
        model: any.
        inputs: (N, ...) in floating point, normalized as in training.
        layer: a module or its dotted name; or several; None: all modules that give one tensor.
    Returns:
        The tensor of one layer, else a dict of them by dotted name, in the order of the calls; of a layer that is
        called more than once, the last.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
        >>> dl.explain.activations(model, np.ones((1, 8, 8, 3), "float32"), layer="1").shape
        (1, 6, 6, 4)
    """
    several = layer is None or isinstance(layer, list | tuple)
    with looking_into(model):
        wanted = None if layer is None else [module_of(model, each) for each in (layer if several else [layer])]
        x = inputs_of(model, inputs)
        found = {}
        for module, _, output in called(model, x):
            if isinstance(output, Tensor) and (wanted is None or any(module is each for each in wanted)):
                found[name_of(model, module)] = output.detach()
    if wanted is not None:
        for module in wanted:
            if name_of(model, module) not in found:
                raise ArgumentError(f"layer: {name_of(model, module)!r} is not called, or gives no single tensor")
    return found if several else next(iter(found.values()))


def features(model: Module, inputs: Any, layer: Layer | None = None, *, batch_size: int = 250) -> Tensor:
    """Each input as the vector (N, D) that the last linear layer sees, or that a named layer gives.

    In that space what the net takes for alike is near, whatever its pixels.

    Args:
        model: any.
        inputs: (N, ...) in floating point, normalized as in training.
        layer: a module or its dotted name, whose output is flattened; None: what goes into the last ``Linear``.
        batch_size: inputs at a time.
    Raises:
        ArgumentError: there is no linear layer, and none is named.
    """
    parts = []
    with looking_into(model):
        x = inputs_of(model, inputs)
        for start in range(0, len(x), batch_size):
            part = x[start : start + batch_size]
            if layer is not None:
                found = activations(model, part, layer)
            else:
                found = _into_last_linear(model, part)
            parts.append(found.data.reshape(len(part), -1))
        return Tensor(array_module(x).concatenate(parts))


def _into_last_linear(model: Module, x: Array) -> Tensor:
    heads = [given for module, given, _ in called(model, x) if isinstance(module, Linear)]
    if heads:
        return heads[-1].detach()
    if not any(True for _ in model.children()):  # a linear classifier that is one module
        return Tensor(x)
    names = [name for name, _ in model.named_modules() if name]
    raise ArgumentError(f"features: the model has no nn.Linear; name a layer: {', '.join(names)}")


def filters(model: Module, layer: Layer | None = None) -> Tensor:
    """The weight (K, kh, kw, C) of a convolution, of one along a sequence (K, k, C): the patterns that its K channels
    look for.

    Args:
        model: any.
        layer: a module or its dotted name; None: the first convolution that the model holds.
    Raises:
        ArgumentError: there is no convolution, or the layer is none.
    """
    require_module(model)
    if layer is None:
        for each in model.modules():
            if isinstance(each, Convolution):
                return each.weight.detach()
        raise ArgumentError(no_convolution("filters", "saliency"))
    module = module_of(model, layer)
    if not isinstance(module, Convolution):
        raise ArgumentError(f"filters: {layer!r} is a {type(module).__name__}, expected a convolution")
    return module.weight.detach()


def no_convolution(method: str, other: str) -> str:
    """What to say about a model without convolutions."""
    return f"{method} needs a convolutional layer; this model has none; use {other}"
