"""The run of a classifier under attack, as ``dlcourse attack RUN`` measures it."""

from collections.abc import Mapping, Sequence
from typing import Any

from dlcourse import backend
from dlcourse.config import attack_label
from dlcourse.errors import UserError
from dlcourse.experiment.attacking import Attacked, AttackResult, check_source, measure, takes_epsilon
from dlcourse.experiment.trained import TrainedModel, own_data

__all__ = ["attack_run"]


def attack_run(
    trained: TrainedModel,
    spec: Mapping[str, Any],
    epsilons: Sequence[float] = (),
    split: str = "test",
    count: int = 1000,
    source: TrainedModel | None = None,
) -> AttackResult:
    """Attack the first inputs of a split, and write ``attack-NAME.npz`` into the run's folder for the plots.

    Args:
        trained: a classifier.
        spec: name and parameters of the attack; ``epsilon`` takes each value of ``epsilons`` in turn.
        epsilons: sizes; none for an attack that looks for the smallest perturbation.
        split: of the run's own data.
        count: at most so many inputs.
        source: the net whose gradients are followed, in place of the one that is attacked (transfer).
    Raises:
        UserError: the run is no classifier, there is no such split, or a parameter is wrong.
        ChangedDataError: the data are not those of the run.
    """
    if not isinstance(trained, TrainedModel) or trained.inputs.task != "classification" or trained.inputs.tokens:
        raise UserError("attack takes the run of one classifier of images or other numbers")
    trained.check_predicts()
    if count < 1:
        raise UserError(f"count is at least 1, got {count}")
    if takes_epsilon(spec) != bool(len(epsilons)):
        what = "needs epsilon" if takes_epsilon(spec) else "has no epsilon: it looks for the smallest perturbation"
        raise UserError(f"the attack {spec['name']} {what}")
    data = own_data(trained)
    if split not in data.splits:
        raise UserError(f"there is no {split} split in this run; there are: {', '.join(data.splits)}")
    net = Attacked(trained.model, data, trained.normalizer, trained.dtype, trained.backend)
    label = attack_label(spec)
    if source is not None:
        check_source(source, tuple(trained.inputs.in_shape), trained.normalizer)
        label = attack_label({**spec, "source": str(source.folder.path)})
    with backend.use(trained.backend):
        subset = net.first(split, count)
        return measure(net, label, spec, epsilons, subset, split, trained.folder.path, source)
