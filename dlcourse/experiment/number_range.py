"""Check that the numbers of a data set fit into the floating-point type of a run."""

import numpy as np

from dlcourse.data import Data
from dlcourse.errors import DataError


def check_range(data: Data, dtype: np.dtype) -> None:
    """Raise DataError where a number is more than the type that the model computes in can hold: it would be infinite.

    Args:
        dtype: that type.
    """
    if dtype == np.float64:
        return
    largest = float(np.finfo(np.float16 if dtype == np.float16 else np.float32).max)
    inputs, target = data.dataset.feature_names, (data.dataset.target_name,)
    for split, subset in data.splits.items():
        for array, names, normalizer in ((subset.x, inputs, data.normalizer), (subset.y, target, None)):
            if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f":
                continue
            ends = np.stack([array.min(axis=0), array.max(axis=0)])
            scaled = np.abs(ends if normalizer is None else normalizer.apply(ends))
            if not (scaled > largest).any():
                continue
            end, column = np.unravel_index(int(scaled.argmax()), scaled.shape)
            name = names[column] if column < len(names) else names[0]
            mend = "" if normalizer is None else " or data.normalize: standardize"
            raise DataError(
                f"{name!r} is {ends[end, column]:g} in the {split} split, and {dtype} holds at most {largest:.4g}; "
                f"precision: float64{mend} may help"
            )
