"""Properties of data sets."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dlcourse import registry
from dlcourse.checks.arrays import furthest, same
from dlcourse.checks.outcome import Checks, Failure, NotHere, require
from dlcourse.data import prepare
from dlcourse.data.dataset import Dataset, check


def check_data(checks: Checks, make: Callable[[], Any], section: Mapping[str, Any]) -> None:
    """All properties of a data set with ``load(seed)``.

    Args:
        section: of a config, which names it.
    """
    if hasattr(type(make()), "splits"):
        checks.add("shape", None, "makes its splits itself: there is nothing to check here")
        return
    if not checks.run("shape", lambda: _shape(make())):
        return
    checks.run("dtype", lambda: _dtype(_loaded(make())))
    checks.run("values", lambda: _values(_loaded(make())))
    checks.run("same seed, same result", lambda: _repeats(make))
    checks.run("another seed", lambda: _another(make))
    checks.run("splits", lambda: _splits(section))


def _loaded(data: Any, seed: int = 0) -> Dataset:
    if not hasattr(data, "load"):
        raise Failure("it has no load(seed); derive from Synthetic and write sample(seed), or write load(seed)")
    found = data.load(seed)
    if not isinstance(found, Dataset):
        raise Failure(f"load(seed): expected a Dataset(x=..., y=..., task=...), came {type(found).__name__}")
    return found


def _shape(data: Any) -> str:
    found = _loaded(data)
    for name in ("x", "y"):
        require(isinstance(getattr(found, name), np.ndarray), f"{name}: expected a NumPy array on the host")
    check(found)
    if found.task == "regression":
        require(found.y.ndim == 2, f"y: expected (N, K) for a regression, came {found.y.shape}; y[:, None] makes it so")
    return f"{found.task}: x {found.x.shape}, y {found.y.shape}"


def _dtype(found: Dataset) -> str:
    if found.task == "classification":
        require(found.y.dtype == np.int64, f"labels: expected int64, came {found.y.dtype}: .astype(np.int64)")
    elif found.y.dtype.kind != "f":
        raise Failure(f"targets: expected floating point, came {found.y.dtype}")
    kinds = "i" if found.tokens else "fu" if found.x.ndim > 2 else "f"
    require(
        found.x.dtype.kind in kinds,
        f"x: expected {'whole numbers' if found.tokens else 'floating point'}, "
        f"or uint8 for images, came {found.x.dtype}",
    )
    return f"x {found.x.dtype}, y {found.y.dtype}"


def _values(found: Dataset) -> str:
    if found.task != "classification":
        return f"finite; y from {found.y.min():.4g} to {found.y.max():.4g}"
    counts = np.bincount(found.y.reshape(-1), minlength=len(found.class_names))
    return f"finite; {len(counts)} classes of {counts.min()} to {counts.max()} samples"


def _arrays(found: Dataset) -> list[np.ndarray]:
    return [found.x, found.y]


def _repeats(make: Callable[[], Any]) -> str:
    one, other = _arrays(_loaded(make())), _arrays(_loaded(make()))
    hint = "draw from dlcourse.backend.random.generator(seed, 'name.purpose'), not from numpy.random"
    require(same(one, other), f"load(0) twice differs by {furthest(one, other):.1e}; {hint}")
    data = make()
    require(same(_arrays(_loaded(data)), _arrays(_loaded(data))), f"a second load(0) of one object differs; {hint}")
    return "bit for bit"


def _another(make: Callable[[], Any]) -> str:
    one, other = _arrays(_loaded(make(), 0)), _arrays(_loaded(make(), 1))
    if same(one, other):
        raise NotHere("gives the same samples, as data from a file do")
    return "gives other samples"


def _splits(section: Mapping[str, Any]) -> str:
    test = 0.25 if registry.build("data", section).load(0).test is None else 0
    data = prepare({**section, "split": {"train": None, "val": 0.25, "test": test}}, 0)
    counts = {name: len(split) for name, split in data.splits.items()}
    return ", ".join(f"{name} {count}" for name, count in counts.items())
