"""Where each position of a sequence looks: the weights of attention."""

from contextlib import ExitStack
from typing import Any

from dlcourse.autograd import Tensor, as_tensor, no_grad
from dlcourse.errors import ArgumentError
from dlcourse.explain.scores import looking_into
from dlcourse.nn import Module, MultiheadAttention
from dlcourse.nn.calls import require_module

__all__ = ["attention_maps"]


def attention_maps(model: Module, inputs: Any) -> dict[str, Tensor]:
    """The weights (N, heads, T, S) of each attention layer of a model, by the layer's dotted name: by how much query t
    mixes the value of key s into its output. Rows add up to 1. (Lecture 14; Vaswani et al. 2017, figure 3.)

    Args:
        model: any with :class:`~dlcourse.nn.MultiheadAttention` or :class:`~dlcourse.nn.MultiHeadAttention` in it.
        inputs: a batch as the model takes it: tokens (N, T), or numbers.
    Returns:
        By name, in the order of the calls; of a layer that is called more than once, the last.
    Raises:
        ArgumentError: no attention layer is called.
    Example:
        >>> model = nn.MultiHeadAttention(dim=4, heads=2, causal=True)
        >>> maps = dl.explain.attention_maps(model, dl.zeros(1, 3, 4))
        >>> maps[""][0, 0].numpy().round(2).tolist()
        [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.33, 0.33, 0.33]]
    """
    require_module(model)
    names = {each: name for name, each in model.named_modules() if isinstance(each, MultiheadAttention)}
    found: dict[str, Tensor] = {}

    def note(module: Any, args: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        found[names[module]] = module.attention_weights(*args, **options)

    with looking_into(model), no_grad(), ExitStack() as handles:
        for layer in names:
            handles.enter_context(layer.register_forward_hook(note, with_kwargs=True))
        x = as_tensor(inputs)
        first = next(model.parameters(), x)
        model(x.to(first.device, first.dtype) if x.is_floating_point() else x.to(first.device))
    if not found:
        raise ArgumentError(f"explain: {type(model).__name__} has no attention layer that an input goes through")
    return found
