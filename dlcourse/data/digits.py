"""The small digits that scikit-learn ships: real pictures with nothing to download."""

from dataclasses import dataclass

import numpy as np

from dlcourse.backend.probe import install_command
from dlcourse.data.dataset import Dataset
from dlcourse.errors import DlcourseError
from dlcourse.registry import register


@register("data", "digits")
@dataclass(frozen=True)
class Digits:
    """1,797 handwritten digits of 8 x 8 pixels from 0 to 16 (Alpaydin and Kaynak 1998), as scikit-learn ships them."""

    def load(self, seed: int) -> Dataset:
        """Pictures (1797, 8, 8, 1) uint8 and labels, in their own order; the seed changes nothing.

        Raises:
            DlcourseError: scikit-learn is not installed; says how to install it.
        """
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise DlcourseError(
                f"data digits needs scikit-learn, which is not installed: {install_command('digits')}"
            ) from None
        pixels, labels = load_digits(return_X_y=True)
        return Dataset(
            x=pixels.reshape(-1, 8, 8, 1).astype(np.uint8),
            y=labels.astype(np.int64),
            task="classification",
            target_name="digit",
            class_names=tuple("0123456789"),
        )
