"""The multilayer perceptron: linear layers with an activation between them (lectures 4 and 5)."""

from math import sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np

from dlcourse import nn
from dlcourse.autograd import Tensor, as_tensor
from dlcourse.models.base import Model, Scaling, templates
from dlcourse.nn import init as initializers
from dlcourse.nn.activation import ACTIVATIONS
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
    """Linear - activation - dropout for each hidden layer, then Linear: (N, *in_shape) -> (N, out_features).

    Args:
        in_shape: shape of one input; images are flattened, nothing is scaled.
        out_features: number of classes, or width of the target.
        hidden: widths of the hidden layers; none makes it linear.
        activation: what follows each hidden layer.
        dropout: probability of dropping a hidden unit in training.
        init: how weights are drawn. ``kaiming``, ``xavier`` and ``lecun`` are normal with variance g^2 / fan_in,
            2 g^2 / (fan_in + fan_out) and 1 / fan_in, g the gain of the activation that follows (1 after the last
            layer); ``orthogonal`` is g times an orthogonal matrix. ``auto`` takes what was made for the activation:
            ``xavier`` for sigmoid and tanh, ``kaiming`` for the others. Biases start at 0. ``default`` leaves all as
            ``nn.Linear`` draws it, which is PyTorch's way.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        hidden: list[Count],
        activation: ActivationName = "relu",
        dropout: Probability = 0.0,
        init: Literal["auto", "kaiming", "xavier", "lecun", "orthogonal", "default"] = "auto",
    ):
        super().__init__(in_shape, out_features)
        widths = [self.in_features, *hidden]
        layers: list[nn.Module] = [nn.Flatten()]
        follows = ACTIVATIONS[activation]
        if init == "auto":
            init = "xavier" if follows.saturates else "kaiming"
        for fan_in, width in zip(widths[:-1], widths[1:], strict=True):
            layers += [_linear(fan_in, width, init, follows.gain), follows()]
            if dropout:
                layers.append(nn.Dropout(dropout))
        layers.append(_linear(widths[-1], self.out_features, init, 1.0))
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

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(as_tensor(x))


def _linear(fan_in: int, width: int, scheme: str, gain: float) -> nn.Linear:
    """A linear layer, its weights drawn by the scheme; ``gain`` is that of the activation that follows."""
    layer = nn.Linear(fan_in, width)
    if scheme == "default":
        return layer
    shape = layer.weight.shape
    if scheme == "kaiming":
        layer.weight.data = initializers.normal(shape, 0.0, gain / sqrt(max(fan_in, 1)))
    elif scheme == "xavier":
        layer.weight.data = initializers.xavier_normal(shape, gain)
    elif scheme == "lecun":
        layer.weight.data = initializers.lecun_normal(shape)
    else:
        layer.weight.data = initializers.orthogonal(shape, gain)
    if layer.bias is not None:
        layer.bias.data = initializers.zeros((width,))
    return layer
