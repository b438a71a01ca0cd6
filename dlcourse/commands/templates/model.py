"""A model of one's own.

    dlcourse check FILE                     every property below, with numbers
    dlcourse run spirals.yaml --plugin FILE model='{name: my_model, width: 64}'

(`dlcourse init spirals` copies that config. In a config of yours, `plugins: [FILE]` and --allow-code do the same.)

The contract: in_shape, the shape of one input, and out_features, the number of classes or the width of the target, come
from the data; all else comes from the config, so each parameter has an annotation (dlcourse.types has bounded ones) and
its line under Args. forward takes (N, *in_shape) and gives (N, out_features): logits for classes, predictions for a
regression. It changes no input, keeps the type that came in, takes a batch without rows, and in evaluation looks at
each sample by itself. What is trained is an nn.Parameter, inside layers or your own; what else forward depends on is a
buffer: self.register_buffer(name, array).
"""

from typing import ClassVar

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.models import Model
from dlcourse.registry import register
from dlcourse.types import Count, Probability


@register("model", "my_model")
class MyModel(Model):
    """W2 relu(W1 x + b1) + b2, with dropout.

    Args:
        width: hidden units.
        dropout: probability of dropping a hidden unit in training.
    """

    example: ClassVar = {"width": 8, "dropout": 0.2, "input": (4,)}  # what `dlcourse check` tries

    def __init__(self, in_shape: tuple[int, ...], out_features: int, width: Count = 32, dropout: Probability = 0.0):
        super().__init__(in_shape, out_features)
        self.first = nn.Linear(self.in_features, width)
        self.dropout = nn.Dropout(dropout)
        self.second = nn.Linear(width, out_features)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(x.shape[0], self.in_features)
        return self.second(self.dropout(F.relu(self.first(rows))))
