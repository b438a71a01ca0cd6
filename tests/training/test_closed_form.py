import numpy as np

from dlcourse.models.linear import LinearModel
from dlcourse.nn import HalfSSELoss
from dlcourse.optim.closed_form import LeastSquares
from dlcourse.training.closed_form import ClosedFormStep
from dlcourse.training.trainer import Trainer

from .tiny import loader, part


def test_the_trainer_runs_it_as_it_runs_any_step() -> None:
    model = LinearModel((1,), 1)
    step = ClosedFormStep(model, HalfSSELoss(), LeastSquares())
    run = Trainer(model, step, loader(part(), "full"), 1)
    run.run()
    np.testing.assert_allclose(model.estimates()["slope"], 3, rtol=1e-6)
    assert run.step == 1 and run.lr is None
    assert run.loss.item() < 1e-10
    again = ClosedFormStep(model, None, LeastSquares())
    again.load_state_dict(step.state_dict())
    assert again.step == 1
    assert again(*loader(part(), "full").batch(0)) is None
