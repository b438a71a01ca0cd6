"""Write a run's model for other programs: its weights as safetensors or npz, or all that it computes as ONNX."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dlcourse import serialize
from dlcourse.autograd import Tensor
from dlcourse.autograd.joining import cat
from dlcourse.errors import UserError
from dlcourse.training.atomic import expect_folder, write_output

if TYPE_CHECKING:
    from dlcourse.experiment.trained import TrainedModel


def export(trained: "TrainedModel", path: Path, torch: bool, with_normalization: bool) -> str:
    """See :meth:`TrainedModel.export`."""
    ending = path.suffix.lower()
    if ending not in (".safetensors", ".npz", ".onnx"):
        raise UserError(f"--to {path}: expected a name that ends in .safetensors, .npz or .onnx")
    expect_folder("--to", path)
    if _is_a_runs_own(path):
        raise UserError(f"--to {path}: is a file of a run, which the weights alone would destroy; take another name")
    if torch and ending != ".safetensors":
        raise UserError(f"--to {path}: --torch writes a file that ends in .safetensors")
    if with_normalization and ending != ".onnx":
        raise UserError(
            f"--to {path}: --with-normalization is for .onnx; a file of weights has shift and scale beside them"
        )
    if ending == ".onnx":
        return _onnx(trained, path, with_normalization)
    return _torch(trained, path) if torch else _weights(trained, path)


def _weights(trained: "TrainedModel", path: Path) -> str:
    arrays = trained.model.state_dict()
    for name, each in (("normalizer", trained.normalizer), ("target_normalizer", trained.inputs.target_normalizer)):
        arrays.update({f"{name}.{key}": array for key, array in (each.state_dict() if each else {}).items()})
    write_output(path, serialize.encode(path, arrays, _texts(trained)))
    return _listed(arrays)


def _torch(trained: "TrainedModel", path: Path) -> str:
    from dlcourse.interop.torch import to_torch_arrays

    arrays = to_torch_arrays(trained.model, trained.inputs.in_shape)
    # What lies beside the weights would be unexpected in a state dict: it goes into the metadata.
    write_output(path, serialize.encode(path, arrays, {"format": "pt", **_texts(trained), **_scales(trained)}))
    return f"in PyTorch's layout, {_listed(arrays)}"


def _onnx(trained: "TrainedModel", path: Path, with_normalization: bool) -> str:
    from dlcourse.interop import onnx

    inputs, (model, in_shape) = trained.inputs, trained.model.exported()
    if with_normalization and model is not trained.model:
        raise UserError(
            f"--with-normalization: {type(trained.model).__name__} draws inputs, and what it takes is noise"
        )
    facts = {name: getattr(inputs, name) for name in ("task", "class_names", "feature_names", "target_name")}
    metadata = {name: fact if isinstance(fact, str) else json.dumps(fact) for name, fact in facts.items()}
    metadata |= {"normalization": "included" if with_normalization else "outside", **_scales(trained)}
    around = _in_raw_units(trained) if with_normalization else None
    try:
        words = onnx.export(model, path, in_shape, metadata=metadata | _texts(trained), around=around)
    except onnx.Unsayable as error:
        raise onnx.Unsayable(f"{error}; --to {path.with_suffix('.safetensors')} writes its weights") from error
    outside = not with_normalization and (not trained.normalizer.identity or inputs.target_normalizer is not None)
    if model is not trained.model:
        return words + "; it takes noise from N(0, 1)" + "; what it draws is normalized" * outside
    note = "; it takes normalized inputs, as the model does: --with-normalization for those of the data's files"
    return words + note * outside


def _texts(trained: "TrainedModel") -> dict[str, str]:
    return {"config": trained.config.dump(), "inputs": json.dumps(trained.inputs.to_json())}


def _scales(trained: "TrainedModel") -> dict[str, str]:
    """The numbers of the normalizations, as texts: z = (x - shift) / scale."""
    found = (("normalizer", trained.normalizer), ("target_normalizer", trained.inputs.target_normalizer))
    return {
        f"{name}.{key}": json.dumps(array.tolist())
        for name, each in found
        for key, array in (each.state_dict() if each else {}).items()
    }


def _listed(arrays: dict[str, np.ndarray]) -> str:
    return f"{len(arrays)} arrays: {', '.join(arrays)}"


def _in_raw_units(trained: "TrainedModel") -> Callable[[Callable], Callable]:
    """What makes a function of raw inputs, with outputs in the targets' own units, of the model's."""
    normalizer, targets = trained.normalizer, trained.inputs.target_normalizer

    def around(model: Callable) -> Callable:
        def compute(x: Tensor) -> Any:
            if not trained.inputs.tokens and not normalizer.identity:
                x = (x - normalizer.shift.astype(x.dtype)) / normalizer.scale.astype(x.dtype)
            z = model(x)
            if targets is None:
                return z
            count, shift, scale = len(targets.shift), targets.shift.astype(z.dtype), targets.scale.astype(z.dtype)
            if z.shape[-1] == count:
                return z * scale + shift
            return cat([z[..., :count] * scale + shift, z[..., count:] + np.log(scale)], -1)

        return compute

    return around


def _is_a_runs_own(path: Path) -> bool:
    """Whether the path is a checkpoint of a run, or its predictions."""
    folder = path.resolve().parent
    return (folder / "latest.json").exists() or (path.name == "predictions.npz" and (folder / "config.yaml").exists())
