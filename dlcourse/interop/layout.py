"""Where PyTorch has the same numbers in another order: channels come first there, and last here.

- A convolution's weight has them in another axis, which the layer says itself (:meth:`Module.torch_axis`).
- A linear layer behind a flattened image reads its numbers in another order, and one in front of an image that is made
  of a vector writes them so: its columns, or rows, change places, and so do the weights of a normalization between.
  Which layers these are is found by running the model once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter, linalg, shape
from dlcourse.autograd.base import array_of
from dlcourse.errors import ArgumentError, ArgumentTypeError
from dlcourse.interop.trace import Trace, input_shape, sample, trace
from dlcourse.nn import Flatten, Linear, Module, Unflatten
from dlcourse.nn.calls import require_module
from dlcourse.nn.conv import Convolution, _ConvTranspose
from dlcourse.nn.norm import _ChannelNorm
from dlcourse.nn.utils.parametrize import ParametrizationList
from dlcourse.ops import linear as ops
from dlcourse.ops.conv import OfSequences

__all__ = ["Place", "places"]


@dataclass
class Place:
    """One array of a model's state.

    Attributes:
        value: the parameter or buffer.
        axis: where PyTorch has what is the last axis here; -1 where it is the last there too.
        channels: by axis that runs over the pixels and channels of images, how many channels they have.
    """

    value: Any
    axis: int = -1
    channels: dict[int, int] = field(default_factory=dict)

    @property
    def torch_shape(self) -> tuple[int, ...]:
        """The shape that PyTorch's has."""
        axes = list(self.value.shape)
        if self.axis != -1:
            axes.insert(self.axis, axes.pop())
        return tuple(axes)

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """An array of this layout in PyTorch's."""
        for axis, channels in self.channels.items():
            array = _reordered(array, axis, (-1, channels))
        # asarray keeps a lone number's shape, which ascontiguousarray does not
        return np.asarray(array if self.axis == -1 else np.moveaxis(array, -1, self.axis), order="C")

    def from_torch(self, array: np.ndarray) -> np.ndarray:
        """An array of PyTorch's layout in this one; of another size it has at least its axes in this order."""
        array = array if self.axis == -1 or array.ndim != len(self.value.shape) else np.moveaxis(array, self.axis, -1)
        if array.shape == self.value.shape:
            for axis, channels in self.channels.items():
                array = _reordered(array, axis, (channels, -1))
        return np.asarray(array, order="C")


def _reordered(array: np.ndarray, axis: int, sizes: tuple[int, int]) -> np.ndarray:
    """An array in which one axis, which stands for two, has these two in the other order."""
    apart = array.reshape(*array.shape[:axis], *sizes, *array.shape[axis + 1 :])
    return apart.swapaxes(axis, axis + 1).reshape(array.shape)


def places(model: Module, in_shape: Sequence[int] | None) -> dict[str, Place]:
    """Each array of a model's state, by name.

    Raises:
        ArgumentTypeError: it is no module.
        ArgumentError: ``in_shape`` is needed, or the model cannot be run on such an input, or an order is not known.
    """
    require_module(model)
    found = {
        f"{path}.{name}" if path else name: Place(value, module.torch_axis(name))
        for path, module in model.named_modules(remove_duplicate=False)
        for name, value in (*module.own_parameters(), *module.own_buffers(transient=False))
    }
    _place_parametrized(model, found)
    in_shape = input_shape(model, in_shape)
    if in_shape is None:
        if _may_flatten(model):
            raise ArgumentError(
                f"{type(model).__name__} may flatten images in front of a linear layer, which PyTorch does in another "
                "order: give the shape of one input, as in in_shape=(32, 32, 3)"
            )
        return found
    images = any(isinstance(module, Unflatten | Convolution) for module in model.modules())
    if not any(True for _ in model.parameters()) or (len(in_shape) == 1 and not images):
        return found  # vectors, or tokens: no images anywhere
    axes = _Axes(_run(model, in_shape), model)
    for place in found.values():
        place.channels = axes.channels(place.value) or place.channels
    _place_parametrized(model, found)
    return found


def _place_parametrized(model: Module, found: dict[str, Place]) -> None:
    """What a weight is computed from lies as the weight would, and so does a vector over its columns."""
    for path, module in model.named_modules(remove_duplicate=False):
        if not isinstance(module, ParametrizationList):
            continue
        owner, _, name = path.rpartition("parametrizations.")
        kind = getattr(model.get_submodule(owner.removesuffix(".")), "_parametrized", None)
        convolution = kind is not None and issubclass(kind, Convolution) and name == "weight"
        for key, place in found.items():
            inside = key.startswith(f"{path}.")
            if inside and convolution and len(place.value.shape) == len(module.shape):
                place.axis = 1
            if inside and key.endswith("._v") and not issubclass(kind or Module, _ConvTranspose):
                columns = found[f"{path}.original"].channels.get(1)
                channels = module.shape[-1] if convolution else columns
                place.channels = {} if channels is None else {0: channels}


def _may_flatten(model: Module) -> bool:
    kinds = [type(module) for module in model.modules()]
    images = any(issubclass(kind, Flatten | Unflatten | Convolution) for kind in kinds)
    return images and any(issubclass(kind, Linear) for kind in kinds)


def _run(model: Module, in_shape: Sequence[int]) -> Trace:
    try:
        device = backend.of(next(model.parameters()).data)
        with backend.use(device.name):
            # Of players each is a model: their costs run all of them.
            whole: Any = model
            compute = partial(whole.objective, y=None, step=0) if getattr(model, "players", ()) else model
            return trace(compute, [device.asarray(sample(model, in_shape, 2))], model)
    except Exception as error:
        raise ArgumentError(
            f"the order of weights behind flattened images is found by running the model once, and "
            f"{type(model).__name__} fails on an input of shape {(2, *in_shape)}: {error}"
        ) from error


_LINEAR = ops.Linear, linalg.MatMul
_MIXES = shape.Concatenate, shape.GetItem


class _Axes:
    """Which axes of parameters run over the pixels and channels of images, found from a forward pass.

    The last axis of a value (N, F) and the axes of weights that meet it are one group; a group that is an image
    flattened, or becomes one, has its channels.
    """

    def __init__(self, ran: Trace, model: Module):
        self.parents: dict[Any, Any] = {}
        self.found: dict[Any, int] = {}
        self.sequences = {id(array_of(x)) for call in ran.calls for x in self._channels_first(call)}
        for module in model.modules():
            if isinstance(module, _ChannelNorm):
                held = [value for _, value in (*module.own_parameters(), *module.own_buffers())]
                for value in held[1:]:
                    self._join(_key(held[0], 0), _key(value, 0))
        for call in ran.calls:
            self._see(call.function, call.inputs, call.outputs)
        self.kept = ran  # as long as identities are asked for

    def channels(self, value: Any) -> dict[int, int]:
        """By axis of a parameter or buffer the channels of the images over which it runs."""
        groups = {axis: self._root(_key(value, axis)) for axis in range(len(value.shape))}
        return {axis: self.found[group] for axis, group in groups.items() if group in self.found}

    @staticmethod
    def _channels_first(call: Any) -> Iterator[Any]:
        """Values (N, T, C) that PyTorch has as (N, C, T): those of convolutions and poolings along T."""
        whole = call.inputs[0], call.outputs[0]
        if isinstance(call.function, OfSequences):
            yield from whole
        elif isinstance(call.function, shape.Reshape) and {len(array_of(x).shape) for x in whole} == {3, 4}:
            first, second = sorted(whole, key=lambda x: len(x.shape))
            if second.shape == (first.shape[0], 1, *first.shape[1:]):
                yield first

    def _see(self, function: Any, inputs: tuple, outputs: tuple) -> None:
        function = getattr(function, "function", function)
        values = [x for x in inputs if hasattr(x, "shape")]
        out = outputs[0]
        if isinstance(function, shape.Reshape):
            self._see_reshape(values[0], out)
        elif isinstance(function, _LINEAR) and len(values) > 1 and len(values[1].shape) == 2:
            self._see_linear(values, out, by_rows=isinstance(function, ops.Linear))
        elif isinstance(function, shape.Transpose):
            order = function.axes or tuple(reversed(range(len(out.shape))))
            for axis, before in enumerate(order):
                self._join(_key(values[0], before % len(order)), _key(out, axis))
        elif isinstance(function, _MIXES):
            for x in values:
                mixed = len(x.shape) == 2 and self._root(_key(x)) in self.found and x.shape[-1:] != out.shape[-1:]
                if mixed and out.shape[0] == x.shape[0]:
                    raise ArgumentError(
                        f"a flattened image of {x.shape[1]} numbers is joined with others, or cut, before a linear "
                        "layer reads it: the order in which PyTorch has that layer's columns is not known"
                    )
        else:
            for x in values:
                if x.shape == out.shape or (len(x.shape) == 1 and x.shape == out.shape[-1:]):
                    self._join(_key(x), _key(out))
                    if id(array_of(x)) in self.sequences:
                        self.sequences.add(id(array_of(out)))

    def _see_linear(self, values: list, out: Any, by_rows: bool) -> None:
        x, weight, *bias = values
        inner, outer = (1, 0) if by_rows else (0, 1)
        self._join(_key(x), _key(weight, inner))
        for each in (_key(out), *(_key(b, 0) for b in bias)):
            self._join(_key(weight, outer), each)

    def _see_reshape(self, x: Any, out: Any) -> None:
        flat, image = sorted((x, out), key=lambda value: len(value.shape))
        if len(flat.shape) != 2 or flat.shape[0] != image.shape[0] or flat.shape[-1] == image.shape[-1]:
            return
        if len(image.shape) == 4 or (len(image.shape) == 3 and id(array_of(image)) in self.sequences):
            if image.shape[-1] > 1:
                self._tag(_key(flat), image.shape[-1])

    def _tag(self, key: Any, channels: int) -> None:
        group = self._root(key)
        if self.found.setdefault(group, channels) != channels:
            raise ArgumentError(
                f"one vector is an image of {self.found[group]} channels and one of {channels}: its order in PyTorch "
                "is not known"
            )

    def _root(self, key: Any) -> Any:
        while key in self.parents:
            key = self.parents[key]
        return key

    def _join(self, a: Any, b: Any) -> None:
        a, b = self._root(a), self._root(b)
        if a != b:
            self.parents[b] = a
            if b in self.found:
                self._tag(a, self.found.pop(b))


def _key(value: Any, axis: int | None = None) -> tuple[int, int]:
    """An axis of a parameter or of an array, the last one if not said otherwise."""
    axis = len(value.shape) - 1 if axis is None else axis
    return id(value if isinstance(value, Parameter) else array_of(value)), axis


def in_torch_names(names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """PyTorch's name of each array: with another beginning, where one is given for a part of the model.

    Raises:
        ArgumentError: there is no such part.
    """
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(f'names are PyTorch\'s by those here, as in {{"layers.1": "fc1"}}, got {given!r}')
    for each in given:
        if not any(name == each or name.startswith(f"{each}.") for name in names):
            raise ArgumentError(f"names: the model has no part {each!r}; it has {', '.join(names)}")
    found = {}
    for name in names:
        part = max((each for each in given if name == each or name.startswith(f"{each}.")), key=len, default=None)
        found[name] = name if part is None else given[part] + name[len(part) :]
    return found
