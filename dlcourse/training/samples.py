"""Samples of a model that generates: those kept at each evaluation of a run, in the folder ``samples``."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dlcourse.autograd import no_grad
from dlcourse.backend import tracing
from dlcourse.data.dataset import Data
from dlcourse.errors import named
from dlcourse.nn.calls import in_evaluation
from dlcourse.records.writing import real_folder
from dlcourse.tensorfile import npz
from dlcourse.training.atomic import reporting_write_errors, write_bytes
from dlcourse.training.callback import Callback
from dlcourse.training.input_spec import InputSpec

__all__ = ["KeepSamples", "as_kept", "drawn_inputs", "joined", "writes_text"]

BETWEEN_TEXTS = "\n---\n"


class Scaling(Protocol):
    """How inputs were normalized: z = (x - shift) / scale."""

    shift: np.ndarray
    scale: np.ndarray


def drawn_inputs(model: Any, normalizer: Scaling, count: int, seed: int = 0, **settings: Any) -> np.ndarray:
    """``count`` new inputs as the data have them, (count, *in_shape) in float64, on the device that is current.

    Args:
        settings: what else ``generate`` of that model takes.
    """
    with in_evaluation(model), no_grad():
        found = model.generate(count, seed, **settings).numpy().astype(np.float64)
    return found * normalizer.scale + normalizer.shift


def as_kept(found: np.ndarray, inputs: InputSpec) -> np.ndarray:
    """What :func:`drawn_inputs` gave as a folder keeps it: images in gray or color in bytes, all else in float32."""
    if found.ndim != 4 or found.shape[-1] not in (1, 3):
        return found.astype(np.float32)
    black, white = inputs.black_and_white
    return np.round(np.clip(np.nan_to_num((found - black) * (255 / (white - black))), 0, 255)).astype(np.uint8)


def writes_text(data: Data, model: Any) -> bool:
    """Whether a model says of each token of a text which one follows."""
    own = getattr(model, "objective_units", None)
    return data.dataset.tokens and not data.dataset.pairs and data.every_step and not own


def joined(texts: Sequence[str]) -> str:
    """Several texts as one, with a line of three dashes between them."""
    return BETWEEN_TEXTS.join(texts) + "\n"


class KeepSamples(Callback):
    """Writes samples at each evaluation: ``samples/step-500.npz`` with ``x``, or ``samples/step-500.txt``.

    They are of one seed, so what changes from file to file is the model. Files of steps that a checkpoint does not
    know are removed when a run goes on from it.

    Args:
        folder: where the files go.
        draw: makes the samples of the model as it is: new inputs, or texts.
        say: gets a note where they cannot be made, which costs nothing of the run.
    """

    name = "samples"

    def __init__(self, folder: Path, draw: Callable[[], np.ndarray | list[str]], say: Callable[[str], None]):
        self.folder, self.draw, self.say = folder, draw, say
        self._steps: list[int] = []

    def start(self, trainer: Any) -> None:
        with reporting_write_errors(self.folder):
            for path in real_folder(self.folder).glob("step-*.*"):
                if path.stem.removeprefix("step-") not in map(str, self._steps):
                    path.unlink()

    def after_evaluation(self, trainer: Any) -> None:
        try:
            with tracing.listening_to_phases(None), trainer.train_step.averaged():
                found = self.draw()
        except Exception as error:  # a plugin's model may be anything
            self.say(f"no samples at step {trainer.step}: {named(error)}")
            return
        self._write(trainer.step, found)

    def _write(self, step: int, found: np.ndarray | list[str]) -> None:
        with reporting_write_errors(self.folder):
            real_folder(self.folder).mkdir(exist_ok=True)
        path = self.folder / f"step-{step}"
        if isinstance(found, list):
            write_bytes(path.with_suffix(".txt"), joined(found).encode("utf-8", "replace"), durable=False)
        else:
            write_bytes(path.with_suffix(".npz"), npz({"x": found}, compressed=True), durable=False)
        self._steps.append(step)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._steps = list(state["steps"])
