"""Samples that are kept in training: drawing them leaves the model as it was."""

from typing import Any

import numpy as np
import pytest

from dlcourse import nn
from dlcourse.training.input_spec import InputSpec
from dlcourse.training.samples import as_kept, drawn_inputs


class Failing(nn.Module):
    """Draws nothing; one of its layers is kept in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.trained, self.frozen = nn.Dropout(0.5), nn.Dropout(0.5)
        self.frozen.eval()

    def generate(self, count: int, seed: int = 0) -> Any:
        raise RuntimeError("cannot draw")


def test_where_drawing_fails_the_model_is_in_training_mode_again() -> None:
    """A run goes on after it: in evaluation mode it would train without dropout and batch statistics."""
    model = Failing()
    with pytest.raises(RuntimeError, match="cannot draw"):
        drawn_inputs(model, None, 3)  # type: ignore[arg-type]
    assert model.training and model.trained.training and not model.frozen.training


@pytest.mark.parametrize(
    ("smallest", "largest", "drawn", "kept"),
    [
        (None, None, [0, 128, 300], [0, 128, 255]),
        (0.0, 255.0, [-3, 0, 254.6], [0, 0, 255]),
        (0.0, 1.0, [0, 0.5, 1], [0, 128, 255]),
        (-1.0, 1.0, [-1, 0, 1], [0, 128, 255]),
    ],
)
def test_images_are_kept_from_black_to_white(smallest: Any, largest: Any, drawn: list, kept: list) -> None:
    inputs = InputSpec("estimation", [1, 3, 1], 1, [], [], "", "", [], None, [], [], largest=largest, smallest=smallest)
    found = as_kept(np.array(drawn, dtype=float).reshape(1, 1, 3, 1), inputs)
    assert found.dtype == np.uint8 and found.ravel().tolist() == kept
