"""A trained classifier under an attack: how many inputs it still gets right, and what the changed ones look like."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcourse import backend, registry
from dlcourse.attacks import Attack
from dlcourse.autograd import lent, no_grad
from dlcourse.data import Split
from dlcourse.errors import UserError
from dlcourse.experiment.building import build_attack
from dlcourse.experiment.trained import TrainedModel, own_data
from dlcourse.tensorfile import npz
from dlcourse.training.atomic import write_bytes

__all__ = ["AttackResult", "attack_run"]

IMAGES = 10
"""Inputs whose change a picture shows."""


@dataclass(frozen=True)
class AttackResult:
    """What an attack does to a net.

    Attributes:
        name: of the attack.
        epsilons: sizes of the perturbations, (E,); of an attack that looks for the smallest one, (0,).
        accuracy: for each of them the share of inputs that are still right, (E,).
        control: the same for random perturbations of these sizes, (E,).
        distances: of an attack that looks for the smallest perturbation, the Euclidean length for each input that it
            changed the class of, in the unit of the inputs' range; else empty.
        clean: the share that is right without an attack.
        count: how many inputs.
    """

    name: str
    epsilons: np.ndarray
    accuracy: np.ndarray
    control: np.ndarray
    distances: np.ndarray
    clean: float
    count: int


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
    takes_epsilon = "epsilon" in {each.name for each in registry.parameters("attack", spec["name"])}
    if takes_epsilon != bool(len(epsilons)):
        what = "needs epsilon" if takes_epsilon else "has no epsilon: it looks for the smallest perturbation"
        raise UserError(f"the attack {spec['name']} {what}")
    data = own_data(trained)
    if split not in data.splits:
        raise UserError(f"there is no {split} split in this run; there are: {', '.join(data.splits)}")
    subset = data.splits[split]
    subset = Split(subset.x[:count], subset.y[:count], subset.index[:count])
    looked_at = trained if source is None else _other(source, trained)

    def made(spec: Mapping[str, Any]) -> Attack:
        return build_attack(spec, data)

    with backend.use(trained.backend):
        if not takes_epsilon:
            return _minimal(trained, looked_at, made(spec), spec["name"], subset)
        random = {"name": "random"} | ({"norm": spec["norm"]} if "norm" in spec else {})
        own, control = [], []
        for epsilon in epsilons:
            own.append(_Outcome.of(trained, looked_at, made({**spec, "epsilon": epsilon}), subset))
            control.append(_Outcome.of(trained, looked_at, made({**random, "epsilon": epsilon}), subset))
    result = AttackResult(
        spec["name"],
        np.array(epsilons, dtype=float),
        np.array([each.right.mean() for each in own]),
        np.array([each.right.mean() for each in control]),
        np.empty(0),
        float(own[0].clean.mean()),
        len(subset),
    )
    _write(trained, result, own[-1])
    return result


@dataclass(frozen=True)
class _Outcome:
    """What became of each input: whether it was right before (clean) and is now, how far it was moved; and the first
    ones whose class changed."""

    clean: np.ndarray
    right: np.ndarray
    distance: np.ndarray
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, trained: TrainedModel, looked_at: TrainedModel, attack: Attack, subset: Split) -> "_Outcome":
        found: list[dict[str, np.ndarray]] = []
        for index, (x, y) in enumerate(trained.loader(subset).batches()):
            changed = attack(looked_at.model, x, y, index)
            width = np.broadcast_to(backend.to_host(attack.box.width(x)), x.shape[1:])
            first, second = (backend.to_host(each).astype(np.float64) for each in (x, changed))
            logits = _logits(trained, changed)
            guess, true = logits.argmax(axis=1), backend.to_host(y)
            share = np.divide(second - first, width, out=np.zeros_like(first), where=width > 0)
            found.append(
                {
                    "originals": first * trained.normalizer.scale + trained.normalizer.shift,
                    "changed": second * trained.normalizer.scale + trained.normalizer.shift,
                    "true": true,
                    "predicted": guess,
                    "confidence": trained.model.confidences(logits)[np.arange(len(guess)), guess],
                    "clean": _logits(trained, x).argmax(axis=1) == true,
                    "distance": np.sqrt((share.reshape(len(share), -1) ** 2).sum(axis=1)),
                }
            )
        arrays = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
        clean, right, distance = arrays.pop("clean"), arrays["predicted"] == arrays["true"], arrays.pop("distance")
        fooled = np.flatnonzero(clean & ~right)[:IMAGES]
        return cls(clean, right, distance, {f"attack_{name}": array[fooled] for name, array in arrays.items()})


def _logits(trained: TrainedModel, x: Any) -> np.ndarray:
    with no_grad():
        return backend.to_host(trained.model(lent(x)).data).astype(np.float64)


def _minimal(trained: TrainedModel, looked_at: TrainedModel, attack: Attack, name: str, subset: Split) -> AttackResult:
    """Of an attack that looks for the smallest perturbation."""
    found = _Outcome.of(trained, looked_at, attack, subset)
    lengths = np.sort(found.distance[found.clean & ~found.right])
    accuracy, nothing = np.array([found.right.mean()]), np.empty(0)
    result = AttackResult(name, nothing, accuracy, nothing, lengths, float(found.clean.mean()), len(subset))
    _write(trained, result, found)
    return result


def _other(source: TrainedModel, trained: TrainedModel) -> TrainedModel:
    """The net whose gradients are followed, which has to take the same inputs."""
    if not isinstance(source, TrainedModel) or source.inputs.in_shape != trained.inputs.in_shape:
        raise UserError(f"{source.folder.path}: takes other inputs than {trained.folder.path}")
    own, other = ((each.normalizer.shift, each.normalizer.scale) for each in (trained, source))
    if not all(np.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(own, other, strict=True)):
        both = f"{source.folder.path} and {trained.folder.path}"
        raise UserError(f"{both}: inputs are not normalized alike, so one cannot be asked about the other's")
    return source


def _write(trained: TrainedModel, result: AttackResult, last: _Outcome) -> None:
    arrays = {
        "epsilons": result.epsilons,
        "accuracy": result.accuracy,
        "control": result.control,
        "distances": result.distances,
        "clean": np.array(result.clean),
        "count": np.array(result.count),
        **last.arrays,
    }
    write_bytes(trained.folder.path / f"attack-{result.name}.npz", npz(arrays), durable=False)
