"""The log-likelihood of the data under the model's probabilities, in nats."""

import math
from typing import Any, ClassVar, Literal

import numpy as np

from dlcourse.backend import array_module
from dlcourse.errors import ShapeError, UserError
from dlcourse.metrics.base import Array, Metric, log_probabilities
from dlcourse.registry import register


@register("metric", "log_likelihood")
class LogLikelihood(Metric):
    """Mean log-likelihood of the labels, 1/N sum log p(y | x), where p(. | x) = softmax(logits)."""

    title = "log-likelihood per sample"
    higher_is_better = True
    unit = "nats"
    tasks = ("classification",)

    def values(self, outputs: Array, targets: Array) -> Array:
        return log_probabilities(outputs, targets)


@register("metric", "cross_entropy")
class CrossEntropy(Metric):
    """Cross-entropy, -1/N sum log softmax(logits)_y. A model that gives all C classes the same scores log C."""

    title = "cross-entropy"
    unit = "nats"
    tasks = ("classification",)

    def values(self, outputs: Array, targets: Array) -> Array:
        return -log_probabilities(outputs, targets)


@register("metric", "perplexity")
class Perplexity(CrossEntropy):
    """exp of the cross-entropy: among so many equally likely classes one would be as unsure."""

    unit = ""

    def finish(self, total: Array, count: int) -> Array:
        return np.exp(total / count)


class OfText(CrossEntropy):
    """The cross-entropy of all tokens of a text, divided by how many characters or bytes they stand for: so models with
    other tokens compare. Where a token is a character, or the program does not say how long it is, it is one."""

    per: ClassVar[Literal["characters", "bytes"]] = "characters"

    def check_classes(self, classes: int) -> None:
        if self.per == "bytes" and (self.token_sizes or {}).get("bytes") is None:
            what = "holds a token of no known bytes, such as <unk>" if self.token_sizes else "is no text"
            raise UserError(f"divides by the bytes of a text, and this {what}")

    def update(self, outputs: Array, targets: Array) -> None:
        super().update(outputs, targets)
        sizes = (self.token_sizes or {}).get(self.per)
        if sizes is not None:
            self.count += array_module(targets).asarray(sizes)[targets].sum() - targets.size


@register("metric", "nats_per_character")
class NatsPerCharacter(OfText):
    """Cross-entropy of a text, in nats a character, whatever its tokens are."""

    unit = "nats"


@register("metric", "bits_per_character")
class BitsPerCharacter(OfText):
    """Cross-entropy of a text / log 2: how many bits a character takes if the model compresses it."""

    unit = "bits"

    def finish(self, total: Array, count: Any) -> Array:
        return total / count / math.log(2)


@register("metric", "bits_per_byte")
class BitsPerByte(BitsPerCharacter):
    """Cross-entropy of a text / log 2: how many bits a byte of UTF-8 takes if the model compresses it."""

    per = "bytes"


@register("metric", "gaussian_nll")
class GaussianNLL(Metric):
    """Minus the mean Gaussian log-likelihood, 1/(N K) sum log(sqrt(2 pi) sigma) + (y - mu)^2 / (2 sigma^2).

    Outputs are (N, 2 K), the means mu and then the log sigma; targets (N, K). A density has a unit, so the value
    depends on that of the target.
    """

    title = "Gaussian negative log-likelihood"
    unit = "nats"
    tasks = ("regression", "estimation")

    def values(self, outputs: Array, targets: Array) -> Array:
        width = targets.shape[-1]
        if targets.ndim != 2 or outputs.shape != (len(targets), 2 * width):
            raise ShapeError(
                "gaussian_nll: expected outputs (N, 2 K), means and log standard deviations, and targets (N, K), "
                f"came {outputs.shape} and {targets.shape}"
            )
        xp = array_module(outputs)
        mean, log_sigma = outputs[:, :width], outputs[:, width:].astype("float64")
        scaled = (targets.astype("float64") - mean) * xp.exp(-log_sigma)
        return 0.5 * math.log(2 * math.pi) + log_sigma + 0.5 * scaled * scaled
