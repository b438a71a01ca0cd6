import numpy as np
import pytest

from dlcourse import nn
from dlcourse.nn import HalfSSELoss, MSELoss
from dlcourse.training.evaluation import LossMetric, evaluate, outputs

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


class Large(nn.Linear):
    """Takes so many samples at a time, and no more."""

    limit = 3
    tried: list[int]

    def forward(self, x):
        self.tried.append(len(x.data))
        if len(x.data) > self.limit:
            raise MemoryError
        return super().forward(x)


def test_a_batch_that_does_not_fit_is_halved_until_it_does() -> None:
    model, data = Large(1, 1), part(10)
    model.tried = []
    parts = list(outputs(model, loader(data, 6, shuffle=False)))
    assert model.tried == [6, 3, 3, 3, 1]  # what did not fit once is not tried again
    np.testing.assert_array_equal(np.concatenate([x for x, _, _ in parts]), data.x.astype("f"))
    np.testing.assert_array_equal(np.concatenate([y for _, _, y in parts]), data.y.astype("f"))
    whole = data.x * model.weight.item() + model.bias.item()
    np.testing.assert_allclose(np.concatenate([output for _, output, _ in parts]), whole, rtol=1e-5, atol=1e-6)


def test_a_single_sample_that_does_not_fit_is_an_error() -> None:
    model = Large(1, 1)
    model.limit, model.tried = 0, []
    with pytest.raises(MemoryError):
        list(outputs(model, loader(part(10), 6)))
    assert model.tried == [6, 3, 2, 1] and model.training
