"""``fit``: a config's experiment in memory."""

from collections.abc import Mapping
from typing import Any

from dlcourse.backend import get, use
from dlcourse.config import Config
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.result import Result
from dlcourse.training.checkpoints.content import apply_average

__all__ = ["fit"]


def fit(config: Config | Mapping[str, Any], device: str | None = None) -> Result:
    """Train and evaluate in memory, without a folder, a log or checkpoints: resampling does so thousands of times.

    Args:
        config: resolved (a mapping is taken as it is, unchecked).
        device: instead of the config's.
    Raises:
        DivergenceError: the loss became infinite or NaN.
    """
    own = (config.data if isinstance(config, Config) else config)["device"]
    with use(get(device or own)) as chosen:
        experiment = Experiment.from_config(config, chosen)
        trainer = experiment.trainer()
        trainer.run()
        apply_average(experiment.model, trainer.train_step)
        metrics, model = experiment.evaluate(), experiment.model
        estimates = model.estimates(experiment.data.normalizer)
        return Result(metrics, model, estimates=estimates, experiment=experiment)
