"""Grad-CAM: which places of a convolution's maps speak for a class."""

from typing import Any

from dlcourse.autograd import Tensor
from dlcourse.backend.device import array_module
from dlcourse.errors import ArgumentError
from dlcourse.explain.layers import Layer, module_of, name_of, no_convolution, stages_of
from dlcourse.explain.scores import Target, gradient, inputs_of, looking_into, outputs_of, targets_of
from dlcourse.nn import Module
from dlcourse.ops.resample import interpolate

__all__ = ["grad_cam"]


def grad_cam(
    model: Module,
    inputs: Any,
    target: Target = None,
    *,
    layer: Layer | None = None,
    relu_attributions: bool = True,
    upsample: bool = True,
) -> Tensor:
    """A layer's maps A, weighted by how much each speaks for a class: L = ReLU(sum_k a_k A_k).

    a_k = mean over places p of d score / d A_k[p]. L shows where the net has seen the class, as coarse as the maps are.
    (Selvaraju et al. 2017.) As Captum's ``LayerGradCam``, which keeps negative values unless told otherwise.

    Args:
        model: gives scores (N, K).
        inputs: (N, H, W, C), or sequences (N, T, C), in floating point, normalized as in training.
        target: the output to explain, one number or one for each input; None: of each input the largest.
        layer: a module or its dotted name, with maps (N, h, w, C) as output; None: the last of
            :func:`convolutional_layers`.
        relu_attributions: whether what speaks against the class is 0.
        upsample: whether the map is brought to the image's size, bilinearly.
    Returns:
        (N, H, W), or (N, h, w) as the layer has it.
    Raises:
        ArgumentError: the model has no convolution, or the layer gives no maps.
    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> dl.explain.grad_cam(model, np.ones((2, 8, 8, 3), "float32"), target=3).shape
        (2, 8, 8)
    """
    with looking_into(model):
        x = inputs_of(model, inputs)
        module = _last_maps(model, x) if layer is None else module_of(model, layer)
        where = targets_of(model, x, target)
        maps: list[Tensor] = []

        def cut(_: Module, __: Any, output: Any) -> Any:
            """Let gradients end here: what is before the layer is not asked."""
            if not isinstance(output, Tensor) or output.ndim not in (3, 4):
                got = f"shape {output.shape}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
                raise ArgumentError(
                    f"grad_cam: expected a layer with maps (N, h, w, C), {name_of(model, module)!r} gives {got}"
                )
            maps[:] = [output.detach().clone().requires_grad_()]
            return maps[0]

        with module.register_forward_hook(cut):
            outputs = outputs_of(model, x)
        if not maps:
            raise ArgumentError(f"grad_cam: the layer {name_of(model, module)!r} is not called")
        weights = gradient(outputs, maps[0], where)
        axes = tuple(range(1, weights.ndim - 1))
        found = (weights.mean(axis=axes, keepdims=True) * maps[0].data).sum(axis=-1)
        found = array_module(found).maximum(found, 0) if relu_attributions else found
        sides = x.shape[1:-1]
        if not upsample or found.shape[1:] == sides or len(sides) != found.ndim - 1:
            return Tensor(found)
        return interpolate(Tensor(found[..., None]), sides, mode="bilinear" if len(sides) == 2 else "linear")[..., 0]


def _last_maps(model: Module, x: Any) -> Module:
    stages = stages_of(model, x)
    if not stages:
        raise ArgumentError(no_convolution("Grad-CAM", "saliency"))
    return list(stages.values())[-1]
