"""``predictions.npz`` and ``predictions.json``: what the pictures of a run are drawn from."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dlcourse import backend
from dlcourse.data.dataset import Data
from dlcourse.training.atomic import write_bytes, write_json
from dlcourse.training.evaluation import outputs
from dlcourse.training.folder import RunFolder
from dlcourse.training.pictures import picture_arrays

MOST_ROWS = 10_000
MOST_INPUT_VALUES = 100_000
CURVE_POINTS = 400
GRID_POINTS = 100
MOST_BEHIND = 6e4
"""What float16 can hold, nearly."""
MARGIN = 0.1  # of the range, on both sides: pictures show how a model goes on outside its data

Predict = Callable[[np.ndarray], np.ndarray]
"""Raw inputs (N, *in_shape) to the model's outputs, both on the host."""


def write_predictions(
    folder: RunFolder,
    data: Data,
    model: Any,
    loaders: Mapping[str, Any],
    predict: Predict,
    names: Mapping[str, Any],
) -> None:
    """Write both files.

    Args:
        loaders: by split.
        predict: for inputs that are in no split.
        names: model, loss and metrics, for titles.
    """
    arrays = {}
    for split, loader in loaders.items():
        arrays.update(_split_arrays(split, data.parts[split], model, loader))
    if not data.dataset.symbols:
        arrays.update(_curve(data, predict))
        arrays.update(_grid(data, predict))
    arrays.update(model.plot_arrays(data.normalizer))
    arrays.update(picture_arrays(data, arrays, model))
    content = io.BytesIO()
    np.savez(content, **arrays)
    write_bytes(folder.predictions, content.getvalue(), durable=False)
    dataset = data.dataset
    write_json(
        folder.predictions_json,
        {
            "task": data.task,
            "feature_names": list(dataset.feature_names),
            "feature_units": list(dataset.feature_units),
            "target_name": dataset.target_name,
            "target_unit": dataset.target_unit,
            "class_names": list(dataset.class_names),
            "confidence": model.confidence,
            **names,
        },
        durable=False,
    )


def _split_arrays(split: str, part: Any, model: Any, loader: Any) -> dict[str, np.ndarray]:
    found, rows = [], 0
    for _, output, _ in outputs(model, loader):
        found.append(backend.to_host(output).reshape(-1, output.shape[-1]))  # of a sequence, each element is a row
        rows += len(found[-1])
        if rows >= MOST_ROWS:
            break
    labels = part.y.reshape(-1) if part.y.dtype.kind == "i" else part.y
    arrays = {f"{split}_y": labels[:MOST_ROWS], f"{split}_output": np.concatenate(found)[:MOST_ROWS]}
    if len(labels) > len(part):
        return arrays
    numbers = min(part.x.size, MOST_ROWS * part.x[0].size)
    if numbers <= MOST_INPUT_VALUES or part.x.shape[1:] in ((1,), (2,)):
        arrays[f"{split}_x"] = part.x[:MOST_ROWS]
    return arrays


def _curve(data: Data, predict: Predict) -> dict[str, np.ndarray]:
    """The fit over one input feature, and the true curve where it is known."""
    if data.in_shape != (1,) or data.task == "estimation":
        return {}
    x = _axis(data, 0, CURVE_POINTS)[:, None]  # (M, 1)
    arrays = {"curve_x": x, "curve_output": predict(x)}
    if data.dataset.curve is not None:
        arrays["curve_true"] = np.asarray(data.dataset.curve(x))
    return arrays


def _grid(data: Data, predict: Predict) -> dict[str, np.ndarray]:
    """The outputs over the plane of two input features, for decision regions, as far as those need them: how far each
    class lies behind the first, which float16 holds well where it matters, near a boundary."""
    if data.in_shape != (2,) or data.task != "classification":
        return {}
    axes = [_axis(data, d, GRID_POINTS) for d in range(2)]
    x = np.stack(np.meshgrid(*axes), axis=-1)  # (M, M, 2)
    output = predict(x.reshape(-1, 2)).astype(np.float64)
    behind = np.clip(output - output.max(axis=1, keepdims=True), -MOST_BEHIND, 0)
    return {
        "grid_axes": np.stack(axes),  # (2, M): of the grid's columns, and of its rows
        "grid_output": behind.astype(np.float16).reshape(GRID_POINTS, GRID_POINTS, -1),
    }


def _axis(data: Data, feature: int, points: int) -> np.ndarray:
    values = np.concatenate([part.x[:, feature] for part in data.parts.values()]).astype(float)
    low, high = values.min(), values.max()
    margin = MARGIN * ((high - low) or 1.0)
    return np.linspace(low - margin, high + margin, points)
