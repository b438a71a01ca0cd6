"""Samples of a trained model told by a trained classifier: which classes they are of, and how sure it is."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dlcourse.errors import DamagedFileError, UserError
from dlcourse.experiment.generation import draw_images
from dlcourse.experiment.trained import TrainedModel
from dlcourse.records.reading import read
from dlcourse.records.run import JudgedRun, JudgedSamples
from dlcourse.tensorfile import npz
from dlcourse.training.atomic import write_bytes, write_json
from dlcourse.training.samples import as_kept

__all__ = ["judge_samples"]

OTHER_RANGE = 2.0
"""Two data sets whose largest values differ by more are in other units, as 0..1 and 0..255 are."""
IMAGES = 10
"""Samples of each class that a plot shows."""


def judge_samples(
    trained: TrainedModel, judge: TrainedModel, count: int = 1000, seed: int = 0, **settings: Any
) -> JudgedSamples:
    """Draw samples and let a classifier say what they are; ``judged.json`` in the run's folder keeps it.

    Samples are brought into the units of the data's files, and from these into those that the judge was trained with:
    the two runs may normalize as they like.

    Args:
        trained: a model that generates.
        judge: a classifier of such inputs.
        settings: of the model's ``generate``.
    Raises:
        UserError: the judge takes other inputs, or in other units; or the model generates nothing.
    """
    _check(trained, judge)
    x = draw_images(trained, count, seed, **settings)
    odds = judge.model.confidences(judge.predict(x))
    guess, names = odds.argmax(axis=1), judge.inputs.class_names
    shares = np.bincount(guess, minlength=len(names)) / count
    sure = odds[np.arange(count), guess]
    found: JudgedSamples = {
        "judge": str(judge.folder.path),
        "count": count,
        "seed": seed,
        "step": trained.source.state["step"],
        "settings": settings,
        "classes": list(names),
        "shares": [round(float(share), 6) for share in shares[: len(names)]],
        "confidence": round(float(sure.mean()), 6),
    }
    _write(trained, found, as_kept(x, trained.inputs), guess)
    return found


def _check(trained: TrainedModel, judge: TrainedModel) -> None:
    """Raise UserError where the judge cannot be asked about these samples."""
    where, own, other = judge.folder.path, trained.inputs, judge.inputs
    if other.task != "classification" or other.tokens or len(getattr(judge, "members", ())) > 0:
        raise UserError(f"{where}: a judge is the run of one classifier of images or other numbers")
    judge.check_predicts()
    if own.tokens:
        raise UserError(f"{trained.folder.path}: writes texts, which no classifier of numbers judges")
    if other.in_shape != own.in_shape:
        raise UserError(
            f"{where}: takes inputs of shape {tuple(other.in_shape)}, the samples of {trained.folder.path} have "
            f"{tuple(own.in_shape)}; take a classifier of the same data"
        )
    sizes = [_size(own), _size(other)]
    if sizes[0] and sizes[1] and not 1 / OTHER_RANGE <= sizes[0] / sizes[1] <= OTHER_RANGE:
        raise UserError(
            f"{where}: was trained on inputs of size up to {sizes[1]:g}, those of {trained.folder.path} go up to "
            f"{sizes[0]:g}: the data are in other units; take a classifier of the same data"
        )


def _size(inputs: Any) -> float:
    """The largest value of the training inputs, of any sign; 0 where nothing is known."""
    return float(inputs.largest or max(map(abs, (*inputs.low, *inputs.high)), default=0.0))


def _write(trained: TrainedModel, found: JudgedSamples, x: np.ndarray, guess: np.ndarray) -> None:
    """Put it in the place of an earlier one of the same judge and settings; keep images of this one."""
    folder = trained.folder
    kept = [each for each in _known(trained) if _asked(each) != _asked(found)]
    write_json(folder.judged, {"judged": [*kept, found]})
    if x.ndim == 4:
        rows = [np.flatnonzero(guess == label)[:IMAGES] for label in range(len(found["classes"]))]
        order = np.concatenate(rows)
        arrays = {"images": x[order], "labels": guess[order], "shares": np.array(found["shares"])}
        write_bytes(folder.judged.with_suffix(".npz"), npz(arrays, compressed=True), durable=False)


def _asked(each: Mapping[str, Any]) -> tuple:
    return tuple(repr(each.get(key)) for key in ("judge", "count", "seed", "step", "settings"))


def _known(trained: TrainedModel) -> list[JudgedSamples]:
    try:
        return read(trained.folder.judged, JudgedRun)["judged"]
    except (FileNotFoundError, DamagedFileError):
        return []
