"""``load_run``: the trained model in a run's folder, or in that of an ensemble."""

import os
from pathlib import Path

from dlcourse import plugins
from dlcourse.experiment import stored
from dlcourse.experiment.components import trust
from dlcourse.experiment.ensemble import is_ensemble, load_ensemble
from dlcourse.experiment.trained import TrainedModel


def load_run(
    path: str | os.PathLike, device: str | None = None, which: str | None = None, allow_code: bool = False
) -> TrainedModel:
    """Load the model of a run.

    Args:
        path: a run folder, or a checkpoint in one; or the folder of an ensemble.
        device: instead of the config's.
        which: ``best`` or ``last``, which a closed form's best is too; by default those weights that the run's metrics
            are of.
        allow_code: import the run's own copies of the component files that it was made with.
    Raises:
        UserError: there is no run, or its checkpoint is missing, damaged, or does not fit, or its ``config.yaml`` was
            changed.
        DeviceError: the device is not there.
    Example:
        >>> config = {"data": {"name": "spirals"}, "model": "softmax", "loss": "cross_entropy", "metrics": ["accuracy"]}
        >>> config |= {"optimizer": {"name": "sgd", "lr": 0.1}, "name": "arms"}
        >>> result = dl.run(config, device="cpu", quiet=True, plots=False)
        >>> run = dl.load_run(result.folder)
        >>> run.predict(np.zeros((2, 2))).shape, run.config["optimizer.lr"], run.history["train.accuracy"].shape
        ((2, 3), 0.1, (1,))
    """
    with plugins.allowing_code(allow_code):
        if is_ensemble(Path(path)):
            loaded: TrainedModel = load_ensemble(path, device, which)
        else:
            loaded = TrainedModel(**vars(stored.load(path, device, which)))
    if allow_code:
        trust(loaded.folder)  # evaluate_run needs its metrics again
    return loaded
