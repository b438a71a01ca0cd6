"""A loss of one's own.

    dlcourse check FILE                     every property below, with numbers
    dlcourse run spirals.yaml --plugin FILE loss='{name: my_loss, gamma: 1.0}'

(`dlcourse init spirals` copies that config. In a config of yours, `plugins: [FILE]` and --allow-code do the same.)

The contract: forward(outputs, targets) gives a tensor of one number, the mean over the samples, or their sum where the
attribute reduction says "sum": the trainer has to know, to cut batches into pieces. outputs are a tensor, (N, C) logits
or (N, K) predictions; targets are a raw array, (N,) labels or (N, K) numbers. It changes neither, keeps the type that
came in, and stays finite for large outputs. Of operations on tensors the gradient follows by itself.
"""

from typing import Any

from dlcourse import Tensor, nn
from dlcourse import functional as F
from dlcourse.backend import array_module
from dlcourse.registry import register
from dlcourse.types import NonNegative


@register("loss", "my_loss")
class MyLoss(nn.Loss):
    """The focal loss: the mean of -(1 - p)^gamma log p, with p = softmax(logits) at the label. (Lin et al. 2017.)

    Args:
        gamma: how much less samples count that are right already; 0 is cross-entropy.
    """

    tasks = ("classification",)

    def __init__(self, gamma: NonNegative = 2.0):
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, labels: Any) -> Tensor:
        rows = array_module(logits.data).arange(len(labels))
        log_p = F.log_softmax(logits)[rows, labels]
        return -((1 - log_p.exp()) ** self.gamma * log_p).mean()
