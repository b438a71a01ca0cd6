"""``load_data``: a data set as arrays, from Python."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlcourse.config import data_section, resolve
from dlcourse.data.dataset import Data
from dlcourse.data.preparation import prepare
from dlcourse.errors import ArgumentError, ArgumentTypeError, ConfigError

__all__ = ["load_data"]


def load_data(name: str | os.PathLike | Mapping[str, Any], *, seed: int | None = None, **settings: Any) -> Data:
    """A data set by its name, split: ``data.train``, ``data.val``, ``data.test``, each with ``inputs``, ``targets``.

    ``dlcourse list data -v`` shows the data sets and their parameters. A published one that is not on this machine is
    downloaded once; nothing else asks the network.

    Args:
        name: the data set's; or the YAML file or mapping of a config, whose data are loaded as its run would.
        seed: draws a synthetic data set, and deals the samples out to the splits; by default 0, or the config's.
        settings: what a config's ``data`` section may hold: the data set's own parameters, and ``split``, ``limit``,
            ``normalize``, ``normalize_target``, ``kfold``, ``stratify``, ``shuffle``.
    Raises:
        ConfigError: an unknown data set or setting; names the nearest.
        DataError: the data are missing, or not as they should be.
    Example:
        >>> data = dl.load_data("spirals", samples=300, split={"val": 0.2, "test": 0.2}, normalize="standardize")
        >>> data
        Data(spirals: classification, 3 classes; train 180, val 60, test 60; inputs (2,) float64)
        >>> x, y = data.train
        >>> x.shape, y.shape, len(data.test)
        ((180, 2), (180,), 60)
    """
    if isinstance(name, Mapping) and "data" not in name:
        settings = {**{str(key): value for key, value in name.items() if key != "name"}, **settings}
        name = name.get("name", "")
    if settings.get("augment"):
        raise ArgumentError("load_data: images are augmented as batches are made: dl.DataLoader(..., augment={...})")
    try:
        if isinstance(name, str) and Path(name).suffix not in (".yaml", ".yml"):
            section = data_section(name, {f"data.{key}": value for key, value in settings.items()})
        elif isinstance(name, str | os.PathLike | Mapping):
            config = resolve(name, {f"data.{key}": value for key, value in settings.items()})
            section, seed = config.data["data"], config.data["seed"] if seed is None else seed
        else:
            raise ArgumentTypeError(f"load_data: expected the name of a data set, such as 'mnist', got {name!r}")
    except ConfigError as error:
        raise ConfigError([replace(problem, file="", line=None) if problem.file == "overrides" else problem
                           for problem in error.problems]) from None  # fmt: skip
    return prepare(section, 0 if seed is None else seed)
