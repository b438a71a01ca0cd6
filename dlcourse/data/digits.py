"""The small digits that scikit-learn ships: real images with nothing to download."""

import gzip
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from dlcourse.backend.diagnostics.probe import install_command
from dlcourse.data.dataset import Dataset, Task
from dlcourse.errors import DlcourseError
from dlcourse.registry import register


@register("data", "digits")
@dataclass(frozen=True)
class Digits:
    """1,797 handwritten digits of 8 x 8 pixels from 0 to 16 (Alpaydin and Kaynak 1998), as scikit-learn ships them."""

    task: ClassVar[Task] = "classification"

    def load(self, seed: int) -> Dataset:
        """Images (1797, 8, 8, 1) uint8 and labels, in their own order; the seed changes nothing.

        Raises:
            DlcourseError: scikit-learn is not installed; says how to install it.
        """
        # Its file is read where it lies: importing scikit-learn for it takes a second.
        found = importlib.util.find_spec("sklearn")
        if found is None or not found.submodule_search_locations:
            command = install_command("digits")
            raise DlcourseError(f"data digits needs scikit-learn, which is not installed: {command}")
        path = Path(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
        with gzip.open(path, "rt", encoding="ascii") as file:
            rows = np.loadtxt(file, delimiter=",", dtype=np.int64)
        return Dataset(
            x=rows[:, :-1].reshape(-1, 8, 8, 1).astype(np.uint8),
            y=rows[:, -1],
            task=self.task,
            target_name="digit",
            class_names=tuple("0123456789"),
        )
