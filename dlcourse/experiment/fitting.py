"""``fit``: an experiment in memory, as lean as it gets; resampling runs it thousands of times."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.config import Config
from dlcourse.data import Data
from dlcourse.experiment.pieces import assemble
from dlcourse.training.checkpoints.content import apply_ema
from dlcourse.training.divergence import DivergenceGuard
from dlcourse.training.evaluation import evaluate
from dlcourse.training.trainer import Trainer


@dataclass(frozen=True)
class Fit:
    """What :func:`fit` came to.

    Attributes:
        model: in evaluation mode, with its last weights.
        data: split and normalized.
        metrics: by split and label.
        estimates: the model's fitted numbers.
        predict: raw inputs (N, *in_shape) to the model's outputs, both on the host.
    """

    model: Any
    data: Data
    metrics: dict[str, dict[str, float]]
    estimates: dict[str, float]
    predict: Callable[[np.ndarray], np.ndarray]


def fit(config: Config | Mapping[str, Any], device: str | None = None) -> Fit:
    """Train and evaluate without a folder, a log or checkpoints.

    Args:
        config: resolved (a mapping is taken as it is, unchecked).
        device: instead of the config's.
    Raises:
        DivergenceError: the loss became infinite or NaN.
    """
    resolved = config.data if isinstance(config, Config) else config
    with backend.use(backend.get(device or resolved["device"])) as chosen:
        pieces = assemble(resolved, chosen)
        step, guard = pieces.train_step(), DivergenceGuard(pieces.train["log_every"])
        Trainer(pieces.model, step, pieces.loader, pieces.total_steps, [guard]).run()
        apply_ema(pieces.model, step)
        metrics = {split: evaluate(pieces.model, loader, pieces.metrics) for split, loader in pieces.loaders.items()}
        model = pieces.model.eval()
        return Fit(model, pieces.data, metrics, model.estimates(pieces.data.normalizer), pieces.predict)
