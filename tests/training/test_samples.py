"""Samples that are kept in training: drawing them leaves the model as it was."""

from typing import Any

import pytest

from dlcourse import nn
from dlcourse.training.samples import drawn_inputs


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
