"""Read the model of a run from its folder: what using it, and beginning from its weights, rest on."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcourse import backend, registry
from dlcourse.backend import precision
from dlcourse.config import Config, resolve
from dlcourse.data import Normalizer
from dlcourse.errors import CheckpointError, DamagedFileError
from dlcourse.experiment.components import code_of
from dlcourse.experiment.identity import check_config
from dlcourse.training.checkpoints import file_format
from dlcourse.training.checkpoints.content import load_evaluated
from dlcourse.training.checkpoints.file_format import Checkpoint
from dlcourse.training.checkpoints.store import SUFFIX, CheckpointStore
from dlcourse.training.folder import RunFolder
from dlcourse.training.input_spec import InputSpec


@dataclass(frozen=True)
class StoredModel:
    """A model as a run's folder holds it, and how its inputs were prepared.

    Attributes:
        folder: the run's.
        config: the run's.
        backend: where the model lies.
        model: in evaluation mode.
        inputs: names, units and encoder of its inputs.
        normalizer: fitted on the run's training split.
        source: the checkpoint.
    """

    folder: RunFolder
    config: Config
    backend: backend.Backend
    model: Any
    inputs: InputSpec
    normalizer: Normalizer
    source: Checkpoint


def load(path: str | os.PathLike, device: str | None = None, which: str | None = None) -> StoredModel:
    """As :func:`~dlcourse.experiment.trained.load_run`, without allowing code."""
    path = Path(path)
    given = path if path.suffix == SUFFIX else None
    folder = RunFolder.open(path.parent.parent if given else path)
    with code_of(folder, warnings.warn):
        config = resolve(folder.config)
        if given is None:
            which = which or _weights(folder)
            if registry.lookup("optimizer", config.data["optimizer"]["name"]).closed_form:
                which = "last"  # there is one step, so the best is the last
            found = CheckpointStore(folder.checkpoints).load_for_use(which)
        else:
            found = file_format.read(given)
        check_config(config.given, found.state, folder.path)
        inputs = _inputs(found)
        chosen = backend.get(device or config.data["device"])
        with backend.use(chosen):
            model = registry.build(
                "model",
                config.data["model"],
                in_shape=tuple(inputs.in_shape),
                out_features=inputs.out_features,
                vocab_size=inputs.vocab_size,
            )
            model.every_step = inputs.every_step
            model.feature_names, model.target_scaling = tuple(inputs.feature_names), inputs.target_normalizer
            model.target_names = inputs.target_names
            model.to(dtype=precision.use(config.data["precision"]))
            load_evaluated(model, found)
        normalizer = _normalizer(found, inputs)
        return StoredModel(folder, config, chosen, model.eval(), inputs, normalizer, found)


def _weights(folder: RunFolder) -> str:
    """Which weights the run's metrics are of."""
    try:
        return folder.read_result().get("weights", {"from": "last"})["from"]
    except DamagedFileError as error:
        raise DamagedFileError(
            f"{error}; so it does not say which weights the run ended with: name them (--checkpoint last or best), or "
            f"let the run write it anew: dlcourse run --resume {folder.path}"
        ) from error


def _inputs(found: Checkpoint) -> InputSpec:
    try:
        return InputSpec.from_json(found.state["data"])
    except CheckpointError as error:
        raise CheckpointError(f"{found.path}: {error}") from error


def _normalizer(found: Checkpoint, inputs: InputSpec) -> Normalizer:
    arrays = found.group("normalizer")
    for name in ("shift", "scale"):
        array, shape = arrays.get(name), tuple(inputs.in_shape)
        if array is None or array.dtype.kind != "f" or array.shape not in (shape, shape[-1:]):
            what = "missing" if array is None else f"{array.shape} {array.dtype}"
            raise CheckpointError(f"{found.path}: normalizer.{name} is {what}, expected floating point {shape[-1:]}")
    return Normalizer.from_state_dict(arrays)
