"""Whether the steps that a run has taken are those of the longer or shorter training that it is to become."""

from dlcourse import registry
from dlcourse.errors import ConfigError
from dlcourse.experiment.experiment import Experiment
from dlcourse.experiment.optimizer import schedules
from dlcourse.training.weight_averaging import moved_start

__all__ = ["check_past"]

_PAST_RATES = 1000  # learning rates of steps taken that are compared


def check_past(experiment: Experiment, total_steps: int | None, step: int, config: str) -> None:
    """Check that the steps of a run that goes on would have been the same in a training as long as it is to be.

    Args:
        experiment: as it is to go on.
        total_steps: how long it was to be when they were taken; None: nothing asked.
        step: how many they are.
        config: the run's config file, for the message.
    Raises:
        ConfigError: the schedule would have given them other learning rates, or ``train.swa`` averaged others.
    """
    if total_steps is None or total_steps == experiment.total_steps:
        return
    epochs = experiment.train["steps"] is None
    length = f"train.epochs={experiment.train['epochs'] or 1}" if epochs else f"train.steps={experiment.train['steps']}"
    anew = f"start a new run of that length: dlcourse run {config} {length}"
    if experiment.train["swa"] is not None:
        lengths = total_steps, experiment.total_steps
        moved = moved_start(experiment.train["swa"], lengths, experiment.loader.steps_per_epoch, step)
        if moved:
            raise ConfigError(f"{moved}; {anew}")
    last = step - 1
    for path, spec in schedules(experiment.config["optimizer"]):
        before, now = (registry.build("schedule", spec, total_steps=n) for n in (total_steps, experiment.total_steps))
        if all(before.factor(k) == now.factor(k) for k in range(0, step, max(1, step // _PAST_RATES))):
            continue
        raise ConfigError(
            f"{path}: {spec['name']} is spread over the whole training: the {step} steps taken had the learning rates "
            f"of a run of {total_steps} steps, in one of {experiment.total_steps} they would be others (step {step}: "
            f"{before.factor(last):.4g} of optimizer.lr, now {now.factor(last):.4g}); {anew}"
        )
