"""The multilayer perceptron: linear layers with an activation between them (lectures 4 and 5)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.autograd.joining import cat
from dlcourse.component import Component
from dlcourse.errors import ArgumentError
from dlcourse.models.base import Model, Scaling, templates
from dlcourse.nn.activation import ACTIVATIONS
from dlcourse.nn.initializer import initializer
from dlcourse.registry import register
from dlcourse.types import Count, Probability

__all__ = ["MLP"]

MAX_TEMPLATES = 50

if TYPE_CHECKING:
    ActivationName = str
else:
    ActivationName = Literal[tuple(ACTIVATIONS)]


@register("model", "mlp")
class MLP(Model):
    """Linear - [norm] - activation - [dropout] for each hidden layer, then Linear: (N, *in_shape) -> (N, out_features).

    Args:
        in_shape: shape of one input; images are flattened, nothing is scaled.
        out_features: number of classes, or width of the target.
        hidden: widths of the hidden layers; none makes it linear.
        activation: what follows each hidden layer.
        dropout: probability of dropping a hidden unit in training, one for all hidden layers or a list with one for
            each.
        init: how weights are drawn, a name or ``{name: normal, std: 0.01}``; biases start at 0. ``auto`` takes what
            was made for the activation: ``xavier`` for sigmoid and tanh, ``kaiming`` for the others. ``default``
            leaves weights and biases as ``nn.Linear`` draws them, which is PyTorch's way.
        batch_norm: whether each hidden layer is normalized over the batch before its activation (Ioffe & Szegedy
            2015); it has no bias then.
        layer_norm: whether each hidden layer is normalized over its units before its activation (Ba, Kiros & Hinton
            2016).
    Raises:
        ValueError: both normalizations are wanted, or ``dropout`` is a list of another length than ``hidden``.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        hidden: list[Count],
        activation: ActivationName = "relu",
        dropout: Probability | list[Probability] = 0.0,
        init: Annotated[Any, Component("init")] = "auto",
        batch_norm: bool = False,
        layer_norm: bool = False,
    ):
        super().__init__(in_shape, out_features)
        self.check_settings({"batch_norm": batch_norm, "layer_norm": layer_norm})
        norm = nn.BatchNorm if batch_norm else nn.LayerNorm if layer_norm else None
        widths = [self.in_features, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        follows, fill = ACTIVATIONS[activation], initializer(init).fill
        for fan_in, width, p in zip(widths[:-1], hidden, _for_each(hidden, dropout), strict=True):
            layers.append(nn.Linear(fan_in, width, bias=not batch_norm))
            fill(layers[-1], follows.gain, follows.saturates)
            layers += [norm(width)] if norm else []
            layers.append(follows())
            layers += [nn.Dropout(p)] if p else []
        layers.append(nn.Linear(widths[-1], self.out_features))
        fill(layers[-1], saturates=follows.saturates)
        self.layers = nn.Sequential(*layers)

    def plot_arrays(self, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """For images ``templates`` of units of the first layer, see :func:`~dlcourse.models.base.templates`.

        Where there are many, those that can move the next layer most: by the norms of the weights into and out of them.
        """
        first, *others = (layer for layer in self.layers if isinstance(layer, nn.Linear))
        weight = first.weight.numpy()
        if others:
            reach = np.linalg.norm(weight, axis=1) * np.linalg.norm(others[0].weight.numpy(), axis=0)
            weight = weight[np.sort(np.argsort(-reach, kind="stable")[:MAX_TEMPLATES])]
        return templates(weight, self.in_shape)

    def pieces(self, x: Tensor) -> Tensor | None:
        """Of each unit of the last hidden layer its output times its weights, and the last biases."""
        if not self.layers[1:-1]:
            return None
        hidden, last = self.layers[:-1](x), cast(nn.Linear, self.layers[-1])
        constant = cast(Tensor, last.bias).expand(len(x), 1, -1)
        return cat([hidden.unsqueeze(2) * last.weight.T, constant], dim=1)

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        if settings.get("batch_norm") and settings.get("layer_norm"):
            raise ArgumentError("mlp: batch_norm and layer_norm cannot both be true; choose one")

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x))


def _for_each(hidden: list[Count], dropout: Probability | list[Probability]) -> list[Probability]:
    """The probability of each hidden layer."""
    if not isinstance(dropout, list | tuple):
        return [dropout] * len(hidden)
    if len(dropout) != len(hidden):
        raise ArgumentError(
            f"mlp: dropout is one number or a list with one for each of the {len(hidden)} hidden layers, got "
            f"{len(dropout)}: {dropout}"
        )
    return list(dropout)
