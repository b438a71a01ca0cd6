"""The receptive field of a place in a layer's maps: by the architecture, and as far as it is used."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from dlcourse import nn
from dlcourse.autograd import Tensor, grad
from dlcourse.autograd.base import array_of
from dlcourse.backend.device import array_module
from dlcourse.errors import ArgumentError
from dlcourse.explain.layers import Layer, module_of, name_of, no_convolution, stages_of
from dlcourse.explain.scores import inputs_of, looking_into
from dlcourse.nn import Module

__all__ = ["UsedField", "receptive_field"]


class UsedField(NamedTuple):
    """What :func:`receptive_field` finds."""

    layer: str
    position: tuple[int, ...]
    """The place in the layer's maps."""
    size: tuple[int, ...]
    """How many positions of the input it may depend on, along each axis; empty where that is not known."""
    bounds: tuple[tuple[int, int], ...]
    """Along each axis the first of them, and the one after the last; what is outside of the input is padding."""
    used: Tensor
    """(H, W): by how much it does depend on each, at most 1."""


def receptive_field(
    model: Module, inputs: Any, layer: Layer | None = None, position: Sequence[int] | None = None
) -> UsedField:
    """The part of an image that one place in a layer's maps depends on, and how much it depends on each pixel.

    ``size`` and ``bounds`` follow from the sizes of kernels and steps, see :func:`dlcourse.nn.receptive_fields`.
    ``used`` is measured: the mean over the inputs of |d (sum_k A_k[position]) / d pixel|, added over channels and
    divided by its largest value. It is large in the middle of the field and small at its border. (Luo et al. 2016.)

    Args:
        model: any.
        inputs: (N, H, W, C), or sequences (N, T, C), in floating point, normalized as in training.
        layer: a module or its dotted name, with maps (N, h, w, C) as output; None: the last of
            :func:`convolutional_layers`.
        position: in its maps; None: the middle.
    Raises:
        ArgumentError: the model has no convolution, or the layer no such place.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
        >>> field = dl.explain.receptive_field(model, np.ones((1, 9, 9, 3), "float32"))
        >>> field.layer, field.size, field.bounds
        ('2', (5, 5), ((2, 7), (2, 7)))
    """
    with looking_into(model):
        x = inputs_of(model, inputs)
        if layer is None:
            stages = list(stages_of(model, x).values())
            if not stages:
                raise ArgumentError(no_convolution("receptive_field", "saliency"))
            module = stages[-1]
        else:
            module = module_of(model, layer)
        name, found = name_of(model, module), list[Any]()
        leaf = Tensor(x, requires_grad=True)
        with module.register_forward_hook(lambda module, inputs, output: found.append(output)):
            model(leaf)
        maps = found[-1] if found else None
        if not isinstance(maps, Tensor) or not maps.requires_grad or maps.ndim != x.ndim or x.ndim < 3:
            raise ArgumentError(
                f"receptive_field: expected a layer with maps (N, h, w, C) of images; {name!r} has none"
            )
        sides = maps.shape[1:-1]
        place = tuple(side // 2 for side in sides) if position is None else tuple(position)
        if len(place) != len(sides) or not all(0 <= at < side for at, side in zip(place, sides, strict=True)):
            raise ArgumentError(f"receptive_field: the maps of {name!r} are {sides}, there is no position {position}")
        seed = array_module(x).zeros_like(maps.data)
        seed[:, *place] = 1
        (slope,) = grad(maps, leaf, seed)
        used = abs(array_of(slope)).mean(axis=0).sum(axis=-1)
        field = nn.receptive_fields(model, Tensor(x[:1])).get(name)
    bounds = field.bounds(place) if field is not None and field.size else ()
    size = () if field is None else field.size
    return UsedField(name, place, size, bounds, Tensor(used / array_module(used).maximum(used.max(), 1e-30)))
