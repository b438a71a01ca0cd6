"""A model's weights for other programs."""

import io
import json
from pathlib import Path

import numpy as np

from dlcourse.errors import UserError
from dlcourse.experiment.trained import Trained
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
    if path.suffix not in (".safetensors", ".npz"):
        raise UserError(f"--to {path}: expected a name that ends in .safetensors or .npz")
    if not path.parent.is_dir():
        raise UserError(f"--to {path}: there is no folder {path.parent}")
    arrays = trained.model.state_dict()
    arrays.update({f"normalizer.{name}": array for name, array in trained.normalizer.state_dict().items()})
    texts = {"config": trained.config.dump(), "inputs": json.dumps(trained.inputs.to_json())}
    if path.suffix == ".npz":
        content = io.BytesIO()
        np.savez(content, **arrays, **{name: np.array(text) for name, text in texts.items()})
        write_bytes(path, content.getvalue())
    else:
        from safetensors.numpy import save

        write_bytes(path, save({name: np.array(a, order="C", copy=None) for name, a in arrays.items()}, metadata=texts))
    return list(arrays)
