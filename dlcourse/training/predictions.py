"""``predictions.npz``: the arrays from which plots are drawn, and names and units as JSON in ``facts``.

In a point of a sweep the inputs and targets, which many points share, are in ``samples.npz`` instead, see
:mod:`dlcourse.training.shared`.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Tensor, no_grad
from dlcourse.data.dataset import Data
from dlcourse.data.normalizer import Normalizer
from dlcourse.records.run import WEIGHT_SIZES, PredictionFacts
from dlcourse.tensorfile import npz
from dlcourse.training.atomic import to_json, write_bytes
from dlcourse.training.evaluation import Evaluator
from dlcourse.training.folder import RunFolder
from dlcourse.training.images import augmented_arrays, image_arrays
from dlcourse.training.input_spec import InputSpec
from dlcourse.training.log import Log
from dlcourse.training.samples import as_kept, drawn_inputs
from dlcourse.training.shared import of_a_sweep, write_shared

MAX_ROWS = 10_000
MAX_INPUT_VALUES = 100_000
CURVE_POINTS = 400
MAX_PIECES = 64
GRID_POINTS = 100
MAX_LOGIT_GAP = 6e4
"""What float16 can hold, nearly."""
MIN_SHARED_BYTES = 1 << 13
"""Bytes of inputs and targets from which the points of a sweep share them in a file."""
_OF_THE_DATA = ("_x", "_y", "curve_true", "grid_axes")
SAMPLE_IMAGES, SAMPLE_VECTORS = 100, 1000
MARGIN = 0.1  # of the range, on both sides: images show how a model goes on outside its data

Predict = Callable[[np.ndarray], np.ndarray]
"""Raw inputs (N, *in_shape) to the model's outputs, both on the host."""


def write_predictions(
    folder: RunFolder,
    data: Data,
    model: Any,
    loaders: Mapping[str, Any],
    predict: Predict,
    names: Mapping[str, Any],
    answering: Any = None,
    training: Any = None,
    evaluator: Evaluator | None = None,
    log: Log | None = None,
) -> dict[str, np.ndarray]:
    """Write the file; returns its arrays, ``test_y`` and ``test_output`` among them.

    Arrays that only pictures need are left out where they cannot be made.

    Args:
        loaders: by split.
        predict: for inputs that are in no split.
        names: model, loss and metrics, for titles.
        answering: gives the outputs in the model's place, as test-time augmentation does.
        training: the loader of the training batches, of which augmented images are kept.
        evaluator: gives the outputs over a split.
        log: is told what is left out.
    """
    arrays: dict[str, np.ndarray] = {}
    log = log or Log(None, quiet=True)

    def add(what: str, make: Callable[[], Mapping[str, np.ndarray]]) -> None:
        with log.going_on(f"no {what} for the plots"):
            arrays.update(make())

    if getattr(model, "objective_units", None):
        add("examples", lambda: _examples(model, loaders, data.normalizer))
    else:
        for split, loader in loaders.items():
            arrays.update(_split_arrays(split, data.splits[split], answering or model, loader, evaluator))
        if not data.dataset.tokens:
            add("curve", lambda: _curve(data, model, predict))
            add("grid", lambda: _grid(data, predict))
    add("arrays of the model", lambda: model.plot_arrays(data.normalizer))
    if getattr(model, "generates", False):
        add("samples", lambda: _samples(data, model))
    add("images", lambda: image_arrays(data, arrays, model))
    if training is not None:
        add("augmented images", lambda: augmented_arrays(data, training))
    if of_a_sweep(folder.path):
        arrays.update(_weights_below(model))
    everything = arrays
    common = {name: arrays[name] for name in arrays if name.endswith(_OF_THE_DATA)}
    if of_a_sweep(folder.path) and sum(array.nbytes for array in common.values()) >= MIN_SHARED_BYTES:
        write_shared(folder.path, folder.samples.name, npz(common, compressed=True))
        arrays = {name: array for name, array in arrays.items() if name not in common}
    facts = {"facts": np.array(to_json(_facts(data, model, names)))}
    write_bytes(folder.predictions, npz(arrays | facts, compressed=True), durable=False)
    return everything


def _facts(data: Data, model: Any, names: Mapping[str, Any]) -> PredictionFacts:
    dataset = data.dataset
    facts: Any = {
        "task": data.task,
        "feature_names": list(dataset.feature_names),
        "feature_units": list(dataset.feature_units),
        "target_name": dataset.target_name,
        "target_unit": dataset.target_unit,
        "target_names": list(dataset.target_names),
        "target_units": [unit for _, unit in dataset.named_targets],
        "class_names": list(dataset.class_names),
        "steps": data.in_shape[0] if data.every_step else None,  # so many rows of the arrays are one series
        "confidence": model.confidence,
        **names,
    }
    return facts


def _examples(model: Any, loaders: Mapping[str, Any], normalizer: Normalizer) -> dict[str, np.ndarray]:
    """What a model with an objective makes of the first samples of the last split that is measured."""
    if not loaders:
        return {}
    x, y = next(iter(list(loaders.values())[-1].batches()))
    with no_grad():
        return model.eval().example_arrays(x, y, normalizer)


def _samples(data: Data, model: Any) -> dict[str, np.ndarray]:
    """New inputs that a model draws."""
    count = SAMPLE_IMAGES if len(data.in_shape) == 3 else SAMPLE_VECTORS
    return {"samples": as_kept(drawn_inputs(model, data.normalizer, count), InputSpec.of(data))}


def _split_arrays(
    split: str, subset: Any, model: Any, loader: Any, evaluator: Evaluator | None
) -> dict[str, np.ndarray]:
    found, rows = [], 0
    for _, output, _ in (evaluator or Evaluator()).outputs(model, loader):
        found.append(backend.to_host(output).reshape(-1, output.shape[-1]))  # of a sequence, each element is a row
        rows += len(found[-1])
        if rows >= MAX_ROWS:
            break
    order = getattr(loader, "in_order", None)
    y = subset.y if order is None else subset.y[order]
    labels = y.reshape(-1) if y.dtype.kind == "i" else y.reshape(-1, y.shape[-1])
    arrays = {f"{split}_y": labels[:MAX_ROWS], f"{split}_output": np.concatenate(found)[:MAX_ROWS]}
    if len(labels) > len(subset):
        return arrays
    numbers = min(subset.x.size, MAX_ROWS * subset.x[0].size)
    if numbers <= MAX_INPUT_VALUES or subset.x.shape[1:] in ((1,), (2,)):
        arrays[f"{split}_x"] = subset.x[:MAX_ROWS]
    return arrays


def _weights_below(model: Any) -> dict[str, np.ndarray]:
    """Which share of the weights, without biases, is below each of ``WEIGHT_SIZES``."""
    weights = [backend.to_host(each.data).ravel() for each in model.parameters() if each.ndim > 1]
    if not weights:
        return {}
    place = np.searchsorted(WEIGHT_SIZES, np.abs(np.concatenate(weights)), side="right")
    below = np.bincount(place, minlength=len(WEIGHT_SIZES))[: len(WEIGHT_SIZES)].cumsum()
    return {"weights_below": (below / len(place)).astype(np.float32)}


def _curve(data: Data, model: Any, predict: Predict) -> dict[str, np.ndarray]:
    """The fit over one input feature, what it is the sum of, and the true curve where it is known."""
    if data.in_shape != (1,) or data.task == "estimation":
        return {}
    x = _axis(data, 0, CURVE_POINTS)[:, None]  # (M, 1)
    arrays = {"curve_x": x, "curve_output": predict(x)}
    if data.dataset.curve is not None:
        arrays["curve_true"] = np.asarray(data.dataset.curve(x))
    return arrays | _pieces(data, model, x)


def _pieces(data: Data, model: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    """Of a model with one output what that is the sum of over x, (M, P), in the target's unit: the pieces that vary
    most, in their own order, and last the sum of all others."""
    dtype = next((parameter.dtype for parameter in model.parameters()), None)
    if data.task != "regression" or model.out_features != 1 or dtype is None:
        return {}
    inputs, training = backend.current().asarray(data.normalizer.apply(x, dtype)), model.training
    with no_grad():
        found = model.eval().pieces(Tensor(inputs))
    model.train(training)
    if found is None:
        return {}
    pieces = backend.to_host(found.data)[..., 0].astype(np.float64)
    if (targets := data.target_normalizer) is not None:
        pieces *= targets.scale
        pieces[:, -1] += targets.shift
    most = np.sort(np.argsort(-pieces[:, :-1].std(axis=0), kind="stable")[:MAX_PIECES])
    rest = pieces.sum(axis=1) - pieces[:, most].sum(axis=1)
    return {"curve_pieces": np.column_stack([pieces[:, most], rest]).astype(np.float32)}


def _grid(data: Data, predict: Predict) -> dict[str, np.ndarray]:
    """The outputs over the plane of two input features, for decision regions, as far as those need them: how far each
    class lies behind the first, which float16 holds well where it matters, near a boundary."""
    if data.in_shape != (2,) or data.task != "classification":
        return {}
    axes = [_axis(data, d, GRID_POINTS) for d in range(2)]
    x = np.stack(np.meshgrid(*axes), axis=-1)  # (M, M, 2)
    output = predict(x.reshape(-1, 2)).astype(np.float64)
    behind = np.clip(output - output.max(axis=1, keepdims=True), -MAX_LOGIT_GAP, 0)
    grid = behind.astype(np.float16).reshape(GRID_POINTS, GRID_POINTS, -1)  # (M, M, C)
    return {
        "grid_axes": np.stack(axes),  # (2, M): of the grid's columns, and of its rows
        "grid_output": np.asfortranarray(grid),  # class by class, which compresses better
    }


def _axis(data: Data, feature: int, points: int) -> np.ndarray:
    values = np.concatenate([np.asarray(subset.x)[:, feature] for subset in data.splits.values()]).astype(float)
    low, high = values.min(), values.max()
    margin = MARGIN * ((high - low) or 1.0)
    return np.linspace(low - margin, high + margin, points)
