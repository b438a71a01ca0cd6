import numpy as np
import pytest

from dlcourse.errors import DivergenceError
from dlcourse.training.callback import Callback
from dlcourse.training.divergence import DivergenceGuard

from .tiny import trainer


def first_bad_step() -> int:
    losses = []

    class Losses(Callback):
        def after_step(self, trainer):
            losses.append(trainer.loss.item())

    trainer(500, [Losses()], lr=1e3).run()
    return int(np.flatnonzero(~np.isfinite(losses))[0]) + 1


@pytest.mark.parametrize("capacity", [1, 7, 1000])
def test_the_very_step_is_named_though_not_every_one_is_looked_at(capacity: int) -> None:
    class Reads(Callback):
        def after_step(self, trainer):
            if trainer.step == 100:
                trainer.call("before_sync")

    bad = first_bad_step()
    assert bad < 100
    run = trainer(500, [DivergenceGuard(capacity), Reads()], lr=1e3)
    message = rf"diverged at step {bad}: the loss is (inf|nan); optimizer.lr was 1000"
    with pytest.raises(DivergenceError, match=message):
        run.run()
    assert run.step == min(100, -(-bad // capacity) * capacity)


def test_a_healthy_run_is_left_alone() -> None:
    trainer(50, [DivergenceGuard(7)]).run()
