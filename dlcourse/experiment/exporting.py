"""Write a model's weights for other programs."""

import json
from pathlib import Path

from dlcourse.errors import UserError
from dlcourse.experiment.trained import TrainedModel
from dlcourse.serialize import encode, file_format
from dlcourse.training.atomic import write_output


def export(trained: TrainedModel, path: Path) -> list[str]:
    """Write parameters and buffers, the normalizer's ``normalizer.shift`` and ``normalizer.scale``, and the config.

    The config is YAML text under the key ``config``, in the file's metadata (safetensors) or as an array of text
    (npz, readable without pickle); ``inputs``, JSON, says what the features and classes are.

    Returns:
        The names of the arrays.
    Raises:
        UserError: the file's name ends otherwise, its folder is not there, or it is a file that a run needs.
        DlcourseError: it cannot be written.
    """
    if not path.suffix:
        raise UserError(f"--to {path}: expected a name that ends in .safetensors or .npz")
    file_format(path)
    if not path.parent.is_dir():
        raise UserError(f"--to {path}: there is no folder {path.parent}")
    if _is_a_runs_own(path):
        raise UserError(f"--to {path}: is a file of a run, which the weights alone would destroy; take another name")
    arrays = trained.model.state_dict()
    arrays.update({f"normalizer.{name}": array for name, array in trained.normalizer.state_dict().items()})
    texts = {"config": trained.config.dump(), "inputs": json.dumps(trained.inputs.to_json())}
    write_output(path, encode(path, arrays, texts))
    return list(arrays)


def _is_a_runs_own(path: Path) -> bool:
    """Whether the path is a checkpoint of a run, or its predictions."""
    folder = path.resolve().parent
    return (folder / "latest.json").exists() or (path.name == "predictions.npz" and (folder / "config.yaml").exists())
