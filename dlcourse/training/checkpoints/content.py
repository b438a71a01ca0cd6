"""The content of a checkpoint: the state of a run as arrays and plain JSON, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import FlatParameters
from dlcourse.backend import autotune
from dlcourse.errors import CheckpointError, DlcourseError, named
from dlcourse.optim.swa_utils import running_statistics
from dlcourse.training.checkpoints.file_format import Checkpoint, flatten, unflatten, verify
from dlcourse.training.checkpoints.store import CheckpointContent
from dlcourse.training.input_spec import current
from dlcourse.training.trainer import Trainer
from dlcourse.training.weight_averaging import put


@dataclass(frozen=True)
class RunIdentity:
    """What stays the same during a run and goes into every checkpoint.

    Attributes:
        seed: the run's seed: with the step it says everything random.
        config_hash: a hash of what the config says of the data, the model and the training.
        settings: what was hashed, by dotted path.
        fingerprint: of the data, see :mod:`dlcourse.data.fingerprint`.
        data: names, units and encoder of the inputs, see :mod:`dlcourse.training.input_spec`.
        normalizer: the arrays of the normalizer that the training split fitted.
    """

    seed: int
    config_hash: str
    settings: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    data: Mapping[str, Any]
    normalizer: Mapping[str, np.ndarray]


def capture(trainer: Trainer, identity: RunIdentity) -> CheckpointContent:
    """The run as it stands: weights, buffers, optimizer, step, callbacks' states, normalizer; copies on the host."""
    arrays = {f"model.{name}": array for name, array in weights_once(trainer.model).items()}
    arrays.update((f"normalizer.{name}", array) for name, array in identity.normalizer.items())
    state = {
        "step": trainer.step,
        "seed": identity.seed,
        "config": identity.config_hash,
        "settings": dict(identity.settings),
        "fingerprint": dict(identity.fingerprint),
        "schedule_steps": _schedule_steps(trainer),
        "data": dict(identity.data),
        "train_step": flatten(trainer.train_step.state_dict(), "train_step", arrays),
        "callbacks": trainer.state_dict(),
        "autotune": autotune.record(),
    }
    return arrays, state


def weights_once(model: Any) -> dict[str, np.ndarray]:
    """The state of a model with what is shared under its first name alone."""
    others = model.other_names()
    return {name: array for name, array in model.state_dict().items() if name not in others}


def _agree(before: Any, now: Any) -> bool:
    """Whether two descriptions say the same; a field that one of them lacks came or went with a version."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return all(_agree(before[name], now[name]) for name in before.keys() & now.keys())
    if isinstance(before, list | tuple) and isinstance(now, list | tuple):
        return len(before) == len(now) and all(map(_agree, before, now))
    return bool(before == now)


def restore(trainer: Trainer, found: Checkpoint, identity: RunIdentity) -> None:
    """Put a trainer where a checkpoint says.

    Raises:
        CheckpointError: its arrays do not fit the model or the optimizer, or its data were called otherwise.
    """
    if not _agree(current(found.state["data"]), identity.data):
        raise CheckpointError(
            f"{found.path}: was written with other data than there are now (their names, units or range differ); "
            "restore the data file, or start a new run"
        )
    autotune.adopt(found.state.get("autotune", {}))
    now: dict[str, np.ndarray] = {}
    flatten(trainer.train_step.state_dict(), "train_step", now)
    saved = {name: a for name, a in found.arrays.items() if name.startswith("train_step.")}
    verify(now, saved, found.path, "the optimizer")
    load_weights(trainer.model, found)
    try:
        trainer.train_step.load_state_dict(unflatten(found.state["train_step"], found.arrays))
        trainer.load_state_dict(found.state["callbacks"])
    except DlcourseError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{found.path}: its state is not that of this run's training ({named(error)})") from error


def _schedule_steps(trainer: Trainer) -> int | None:
    """The length of training that the learning rate's schedule, or the start of an average, is a share of; None without
    them."""
    step, swa = trainer.train_step, trainer.train_step.swa
    steps = getattr(step, "players", {"": step}).values()
    scheduled = any(
        getattr(each, "schedule", None) is not None or getattr(each, "group_schedules", None) for each in steps
    )
    return trainer.total_steps if scheduled or (swa is not None and swa.from_share) else None


def load_weights(model: Any, found: Checkpoint) -> None:
    """Load parameters and buffers.

    Raises:
        CheckpointError: lists what is missing, extra, or of another shape or type.
    """
    former = getattr(model, "former_names", {})  # a plugin's may be no Model
    arrays = {former.get(name, name): array for name, array in found.group("model").items()}
    model.resize_buffers(arrays)
    verify(weights_once(model), arrays, found.path, "the model")
    model.load_state_dict(arrays)


def load_evaluated(model: Any, found: Checkpoint) -> None:
    """Load the weights that were evaluated at a checkpoint: their average, where the run kept one.

    Raises:
        CheckpointError: they do not fit the model.
    """
    load_weights(model, found)
    state = found.state["train_step"]
    for player, own in state.get("players", {"": state}).items():
        _load_average(model, found, own, f"train_step.players.{player}" if player else "train_step")


def _load_average(model: Any, found: Checkpoint, state: Mapping[str, Any], prefix: str) -> None:
    """Put the average that a step kept in place of the weights, if it kept one.

    Args:
        state: of the step.
        prefix: of its arrays.
    """
    average = found.arrays.get(f"{prefix}.arrays.ema")
    statistics: dict[str, np.ndarray] = {}
    if state.get("swa", {}).get("count"):
        average, statistics = found.arrays.get(f"{prefix}.swa.mean"), found.group(f"{prefix}.swa.statistics")
    if average is None:
        return
    parameters = list(model.parameters())
    flat = FlatParameters.of([parameters[i] for i in state.get("layout", range(len(parameters)))])
    own = running_statistics(model)
    expected = {"average": flat.data, **(own if statistics else {})}
    hosted = {name: backend.to_host(array) for name, array in expected.items()}
    verify(hosted, {"average": average, **statistics}, found.path, "the model")
    put(flat, backend.of(flat.data).asarray(average))
    for name, array in statistics.items():
        own[name][...] = backend.of(own[name]).asarray(array)


def apply_average(model: Any, train_step: Any) -> None:
    """Leave the model with the average of its weights, where the step keeps one: what was evaluated."""
    if train_step.ema is None and train_step.swa is None:
        return
    with train_step.averaged():
        state = model.state_dict()
    model.load_state_dict(state)
