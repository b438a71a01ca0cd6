import numpy as np
import pytest

from dlcourse import nn
from dlcourse.nn.loss import HalfSSELoss, MSELoss
from dlcourse.training.evaluation import LossMetric, evaluate

from .tiny import METRICS, loader, part


@pytest.mark.parametrize("batch_size", [1, 3, "full"])
@pytest.mark.parametrize("loss", [MSELoss(), HalfSSELoss()], ids=["mean", "sum"])
def test_metrics_and_loss_do_not_depend_on_the_batches(batch_size, loss) -> None:
    model, data = nn.Linear(1, 1), part()
    found = evaluate(model, loader(data, batch_size), {**METRICS, "loss": LossMetric(loss)})
    error = data.y - (data.x @ model.weight.numpy().T + model.bias.numpy())
    assert found["mse"] == pytest.approx(np.mean(error**2), rel=1e-5)
    expected = np.mean(error**2) if loss.reduction == "mean" else np.sum(error**2) / 2
    assert found["loss"] == pytest.approx(expected, rel=1e-5)


def test_evaluation_turns_dropout_off_and_training_on_again() -> None:
    model = nn.Sequential(nn.Linear(1, 50), nn.Dropout(0.5), nn.Linear(50, 1))
    values = [evaluate(model, loader(part()), METRICS)["mse"] for _ in range(2)]
    assert values[0] == values[1]
    assert all(module.training for module in model.modules())
