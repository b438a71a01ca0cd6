"""A trained classifier under attack: how many inputs it still gets right, and what the changed ones look like."""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dlcourse import backend, registry
from dlcourse.attacks import Attack
from dlcourse.autograd import lent, no_grad
from dlcourse.backend import Backend
from dlcourse.config import attack_labels
from dlcourse.data import Data, Loader, Normalizer, Split
from dlcourse.data.files import MissingDataError, find
from dlcourse.errors import ConfigError, Problem, UserError
from dlcourse.experiment import stored
from dlcourse.experiment.building import build_attack
from dlcourse.experiment.outputs import EVALUATION_BATCH
from dlcourse.tensorfile import npz
from dlcourse.text import table
from dlcourse.training.atomic import write_bytes

__all__ = ["AttackResult", "Attacked", "Attacks", "attack_table", "check_source", "measure", "takes_epsilon"]

IMAGES = 10
"""Inputs whose change a picture shows."""


@dataclass(frozen=True)
class AttackResult:
    """What an attack does to a net.

    Attributes:
        label: the attack's name, with those of its settings that are not the default.
        split: where the inputs are from.
        count: how many inputs.
        clean: the share that is right without an attack.
        norm: in which perturbations are measured, linf or l2.
        epsilons: sizes of the perturbations, (E,); of an attack that looks for the smallest one, (0,).
        accuracy: for each of them the share of inputs that are still right, (E,) (without sizes (1,)).
        confidence: the mean probability of the class that wrong ones are taken for, likewise; NaN where none is wrong.
        control: the accuracy for random perturbations of these sizes, (E,).
        distances: of an attack that looks for the smallest perturbation, the Euclidean length for each input that it
            changed the class of, in the unit of the inputs' range; else empty.
        targeted: whether it wants one class, not any other.
        unmoved: how many inputs that are right the attack leaves as they are, at its largest size.
        place: where it stands among those of a config; others come after them.
    """

    label: str
    split: str
    count: int
    clean: float
    norm: str
    epsilons: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray
    control: np.ndarray
    distances: np.ndarray
    targeted: bool = False
    unmoved: int = 0
    place: int = 1000

    @property
    def metrics(self) -> dict[str, float]:
        """The accuracy at the largest size, named as a metric of a run."""
        if not len(self.epsilons):
            return {}
        name, _, settings = self.label.removesuffix(")").partition("(")
        place = int(np.argmax(self.epsilons))
        others = [each for each in settings.split(", ") if each and not each.startswith("epsilon=")]
        shown = ", ".join([name, *others, f"epsilon={self.epsilons[place]:g}"])
        return {f"accuracy({shown})": float(self.accuracy[place])}


@dataclass(frozen=True)
class Attacked:
    """A classifier, and how it gets its inputs.

    Attributes:
        model: in evaluation mode.
        data: what it was trained on.
        normalizer: prepares inputs for it.
        dtype: of its numbers.
        backend: where it lies; it is the current device.
    """

    model: Any
    data: Data
    normalizer: Normalizer
    dtype: np.dtype
    backend: Backend

    def batches(self, subset: Split) -> Iterator[tuple[Any, Any]]:
        """Inputs as the model takes them, and labels."""
        size = EVALUATION_BATCH
        loader = Loader(subset, self.normalizer, self.backend, self.dtype, size, 0, shuffle=False)
        yield from loader.batches()

    def first(self, split: str, count: int) -> Split:
        """The first inputs of a split."""
        subset = self.data.splits[split]
        return Split(subset.x[:count], subset.y[:count], subset.index[:count])


@dataclass(frozen=True)
class Attacks:
    """A config's ``attacks``.

    Attributes:
        named: what the config says of each, by its label.
        sources: the nets that they name by ``source``, by what they say.
        goes_on: they end a training that has begun: one whose source cannot be used is not measured, and its training
            goes on.
        unusable: of such sources why, by what they say.
    """

    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sources: dict[str, stored.StoredModel] = field(default_factory=dict)
    goes_on: bool = False
    unusable: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Mapping[str, Any], device: str, goes_on: bool = False) -> "Attacks":
        """Those of a resolved config.

        Raises:
            ConfigError: there is no such run to follow the gradients of.
        """
        specs = config.get("attacks") or ()
        found = cls(dict(zip(attack_labels(specs), specs, strict=True)), goes_on=goes_on)
        for place, spec in enumerate(specs):
            if (name := spec["source"]) is not None:
                with found._used(place, name):
                    found.sources[name] = stored.load(find(name, folders=True), device)
        return found

    @contextlib.contextmanager
    def _used(self, place: int, source: str) -> Iterator[None]:
        """Inside the ``with`` block an error is the source's, see ``goes_on``."""
        try:
            yield
        except UserError as error:
            why = f"there is no run folder {source}" if isinstance(error, MissingDataError) else str(error)
            if not self.goes_on:
                raise ConfigError([Problem(f"attacks.{place}.source", why)]) from error
            self.unusable[source] = why

    def check(self, data: Data) -> None:
        """Raise ConfigError where data lack the split, are tokens, or are not as the source takes them."""
        for place, spec in enumerate(self.named.values()):
            path, source = f"attacks.{place}", self.sources.get(spec["source"])
            build_attack(registry.own_parameters("attack", spec), data, path)
            if spec["split"] not in data.splits:
                there = f"these data have no {spec['split']} split; there are: {', '.join(data.splits)}"
                raise ConfigError([Problem(f"{path}.split", there)])
            if source is not None:
                with self._used(place, spec["source"]):
                    check_source(source, data.in_shape, data.normalizer)

    def notes(self) -> Iterator[str]:
        """What will not be measured, in lines for the log."""
        for label, spec in self.named.items():
            if spec["source"] in self.unusable:
                yield f"note: the attack {label} will not be measured: {self.unusable[spec['source']]}"

    def measure(self, net: Attacked, label: str, folder: Path) -> AttackResult:
        """Measure one of them, and write its file.

        Raises:
            UserError: its source cannot be used.
        """
        spec = self.named[label]
        if spec["source"] in self.unusable:
            raise UserError(self.unusable[spec["source"]])
        sizes = spec["epsilon"] * np.arange(1, spec["sizes"] + 1) / spec["sizes"] if takes_epsilon(spec) else ()
        subset, source = net.first(spec["split"], spec["count"]), self.sources.get(spec["source"])
        own, place = registry.own_parameters("attack", spec), list(self.named).index(label)
        return measure(net, label, own, sizes, subset, spec["split"], folder, source, place)


def measure(
    net: Attacked,
    label: str,
    spec: Mapping[str, Any],
    epsilons: Sequence[float] | np.ndarray,
    subset: Split,
    split: str,
    folder: Path,
    source: stored.StoredModel | None = None,
    place: int = 1000,
) -> AttackResult:
    """Attack these inputs with each size, and write ``attack-NAME.npz`` into a folder.

    Args:
        source: the run whose gradients are followed; by default those of the net itself.
        label, place: see :class:`AttackResult`.
    """
    looked_at, norm = net.model if source is None else source.model, spec.get("norm", "linf")
    attacks = [build_attack({**spec, "epsilon": epsilon}, net.data) for epsilon in epsilons]
    attacks = attacks or [build_attack(spec, net.data)]
    found = [_Outcome.of(net, looked_at, attack, subset) for attack in attacks]
    noise = [build_attack({"name": "random", "epsilon": each, "norm": norm}, net.data) for each in epsilons]
    last, smallest = found[-1], not len(epsilons)
    result = AttackResult(
        label,
        split,
        len(subset),
        float(last.clean.mean()),
        "l2" if smallest else norm,
        np.array(epsilons, dtype=float),
        # What the net got wrong before is no success of a search, and where it moved to no answer.
        np.array([(each.right & each.clean if smallest else each.right).mean() for each in found]),
        np.array([each.confidence for each in found]),
        np.array([_Outcome.of(net, net.model, each, subset).right.mean() for each in noise]),
        np.sort(last.distance[last.clean & ~last.right]) if smallest else np.empty(0),
        spec.get("target") is not None,
        0 if smallest else int((last.clean & (last.distance == 0)).sum()),
        place,
    )
    arrays = {key: np.array(value) for key, value in vars(result).items()}
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", result.label).strip("-")
    write_bytes(folder / f"attack-{name}.npz", npz({**arrays, **last.arrays}), durable=False)
    return result


def attack_table(results: Sequence[AttackResult]) -> str:
    """What attacks came to, a line for each size; a smallest perturbation has a mean and a median length."""
    rows = [["attack", "epsilon", "accuracy", "sure when wrong", "random perturbation", "mean length", "median"]]
    for each in results:
        sizes, control = (each.epsilons, each.control) if len(each.epsilons) else ([None], [None])
        length = [f"{function(each.distances):.4g}" for function in (np.mean, np.median) if len(each.distances)]
        lines = zip(sizes, each.accuracy, each.confidence, control, strict=True)
        for place, (size, right, sure, random) in enumerate(lines):
            numbers = ["" if size is None else f"{size:.4g}", f"{right:.4f}", "" if np.isnan(sure) else f"{sure:.3f}"]
            label = "" if place else each.label
            rows.append([label, *numbers, "" if random is None else f"{random:.4f}", *(length or ["", ""])])
    used = [place for place in range(len(rows[0])) if any(row[place] for row in rows[1:])]
    return table([[row[place] for place in used] for row in rows])


@dataclass(frozen=True)
class _Outcome:
    """What became of each input: whether it was right before (clean) and is now, how far it was moved; how sure the net
    is of what it gets wrong; and the first ones that were right before."""

    clean: np.ndarray
    right: np.ndarray
    distance: np.ndarray
    confidence: float
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, net: Attacked, looked_at: Any, attack: Attack, subset: Split) -> "_Outcome":
        if type(attack).fit is not Attack.fit:
            attack.fit(looked_at, [*net.batches(net.first("train", len(subset)))])
        found: list[dict[str, np.ndarray]] = []
        for index, (x, y) in enumerate(net.batches(subset)):
            changed = attack(looked_at, x, y, index)
            width = np.broadcast_to(backend.to_host(attack.box.width(x)), x.shape[1:])
            first, second = (backend.to_host(each).astype(np.float64) for each in (x, changed))
            logits = _logits(net.model, changed)
            guess, true = logits.argmax(axis=1), backend.to_host(y)
            share = np.divide(second - first, width, out=np.zeros_like(first), where=width > 0)
            found.append(
                {
                    "originals": first * net.normalizer.scale + net.normalizer.shift,
                    "changed": second * net.normalizer.scale + net.normalizer.shift,
                    "true": true,
                    "predicted": guess,
                    "confidence": net.model.confidences(logits)[np.arange(len(guess)), guess],
                    "clean": _logits(net.model, x).argmax(axis=1) == true,
                    "distance": np.sqrt((share.reshape(len(share), -1) ** 2).sum(axis=1)),
                }
            )
        arrays = {name: np.concatenate([each[name] for each in found]) for name in found[0]}
        clean, right, distance = arrays.pop("clean"), arrays["predicted"] == arrays["true"], arrays.pop("distance")
        confidence = float(arrays["confidence"][~right].mean()) if not right.all() else float("nan")
        shown = np.flatnonzero(clean)[:IMAGES]
        return cls(clean, right, distance, confidence, {f"attack_{name}": each[shown] for name, each in arrays.items()})


def _logits(model: Any, x: Any) -> np.ndarray:
    with no_grad():
        return backend.to_host(model(lent(x)).data).astype(np.float64)


def takes_epsilon(spec: Mapping[str, Any]) -> bool:
    return "epsilon" in {each.name for each in registry.parameters("attack", spec["name"])}


def check_source(source: stored.StoredModel, in_shape: tuple[int, ...], normalizer: Normalizer) -> None:
    """Raise UserError where the net whose gradients are followed takes other inputs."""
    where = source.folder.path if isinstance(source, stored.StoredModel) else "the source"
    if not isinstance(source, stored.StoredModel) or tuple(source.inputs.in_shape) != tuple(in_shape):
        raise UserError(f"{where}: takes other inputs than the net that is attacked")
    own, other = ((each.shift, each.scale) for each in (normalizer, source.normalizer))
    if not all(np.allclose(a, b, rtol=1e-3, atol=1e-6) for a, b in zip(own, other, strict=True)):
        raise UserError(f"{where}: its inputs are normalized otherwise, so it cannot be asked about those of this net")
