"""The log-likelihood of the data under the model's probabilities, in nats."""

import math

import numpy as np

from dlcourse.backend import array_module
from dlcourse.errors import ShapeError
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


@register("metric", "bits_per_character")
class BitsPerCharacter(CrossEntropy):
    """Cross-entropy / log 2: the length of the text, a character, if the model compressed it."""

    unit = "bits"

    def finish(self, total: Array, count: int) -> Array:
        return total / count / math.log(2)


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
