"""A model's weights for other programs."""

import json
from pathlib import Path

from dlcourse.errors import UserError
from dlcourse.experiment.trained import Trained
from dlcourse.serialize import encode, file_format
from dlcourse.training.atomic import write_bytes


def export(trained: Trained, path: Path) -> list[str]:
    """Write parameters and buffers, the normalizer's ``normalizer.shift`` and ``normalizer.scale``, and the config.

    The config is YAML text under the key ``config``, in the file's metadata (safetensors) or as an array of text
    (npz, readable without pickle); ``inputs``, JSON, says what the features and classes are.

    Returns:
        The names of the arrays.
    Raises:
        UserError: the file's name ends otherwise, or its folder is not there.
        DlcourseError: it cannot be written.
    """
    if not path.suffix:
        raise UserError(f"--to {path}: expected a name that ends in .safetensors or .npz")
    file_format(path)
    if not path.parent.is_dir():
        raise UserError(f"--to {path}: there is no folder {path.parent}")
    arrays = trained.model.state_dict()
    arrays.update({f"normalizer.{name}": array for name, array in trained.normalizer.state_dict().items()})
    texts = {"config": trained.config.dump(), "inputs": json.dumps(trained.inputs.to_json())}
    write_bytes(path, encode(path, arrays, texts))
    return list(arrays)
