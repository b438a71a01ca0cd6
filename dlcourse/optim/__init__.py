"""Optimizers, learning-rate schedules, gradient clipping and closed-form solvers.

A config finds an optimizer of a new file by its registered name; Python finds it here, by a line of its own.
"""

from dlcourse.optim.adam import Adam, AdamW
from dlcourse.optim.adaptive import Adagrad, RMSprop
from dlcourse.optim.base import Optimizer
from dlcourse.optim.clip import clip_grad_norm
from dlcourse.optim.closed_form import ClosedForm, LeastSquares, PoorFitWarning
from dlcourse.optim.schedules import (
    ConstantSchedule,
    CosineSchedule,
    ExponentialSchedule,
    MultiStepSchedule,
    OneCycleSchedule,
    Schedule,
    StepSchedule,
)
from dlcourse.optim.sgd import SGD

__all__ = [
    "Adagrad",
    "Adam",
    "AdamW",
    "ClosedForm",
    "ConstantSchedule",
    "CosineSchedule",
    "ExponentialSchedule",
    "LeastSquares",
    "MultiStepSchedule",
    "OneCycleSchedule",
    "Optimizer",
    "PoorFitWarning",
    "RMSprop",
    "SGD",
    "Schedule",
    "StepSchedule",
    "clip_grad_norm",
]
