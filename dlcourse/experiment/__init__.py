"""Experiments: from a config to data, model and trainer, to a run's folder, and back from one.

result = run("configs/02_machine_learning/polynomial_overfitting.yaml", overrides={"train.epochs": 2})
fitted = fit(config)                        # in memory, for resampling
trained = load_run(result.folder)           # to evaluate and to predict
"""

from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.fitting import fit, fit_all
from dlcourse.experiment.loading import load_run
from dlcourse.experiment.result import Result
from dlcourse.experiment.runner import Options, resume_run, run
from dlcourse.experiment.trained import TrainedModel, evaluate_run

__all__ = [
    "Experiment",
    "Options",
    "Result",
    "TrainedModel",
    "evaluate_run",
    "fit",
    "fit_all",
    "load_run",
    "resume_run",
    "run",
]
