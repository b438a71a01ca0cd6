import numpy as np
import pytest

from dlcourse.backend import capture
from dlcourse.training.callback import NEVER, Callback, Every, Whenever

from .tiny import trainer


class Recorder(Callback):
    name = "recorder"

    def __init__(self, calls: list[str], label: str = ""):
        self.calls, self.label = calls, label

    def start(self, trainer):
        self.calls.append(f"{self.label}start {trainer.step}")

    def after_step(self, trainer):
        self.calls.append(f"{self.label}step {trainer.step}")

    def finish(self, trainer):
        self.calls.append(f"{self.label}finish")

    def close(self, trainer):
        self.calls.append(f"{self.label}close")

    def state_dict(self):
        return {"calls": len(self.calls)}


def test_points_are_called_in_order_and_closed_in_reverse() -> None:
    calls: list[str] = []
    trainer(2, [Recorder(calls, "a "), Recorder(calls, "b ")]).run()
    in_order = ["a start 0", "b start 0", "a step 1", "b step 1", "a step 2", "b step 2", "a finish", "b finish"]
    assert calls == [*in_order, "b close", "a close"]


def test_what_is_open_is_closed_after_an_error_too() -> None:
    calls: list[str] = []

    class Fails(Callback):
        def after_step(self, trainer):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        trainer(2, [Recorder(calls), Fails()]).run()
    assert calls == ["start 0", "step 1", "close"]


def test_a_callback_can_stop_after_the_step() -> None:
    class Stops(Callback):
        def after_step(self, trainer):
            if trainer.step == 3:
                trainer.stop("enough")

    stopped = trainer(10, [Stops()])
    stopped.run()
    assert (stopped.step, stopped.stop_reason, stopped.done) == (3, "enough", True)


@pytest.mark.parametrize(
    ("due", "steps"),
    [(Every(3), [3, 6]), (Every(3, first=True), [1, 3, 6]), (Every(0), []), (Every(0, first=True), [1])],
)
def test_a_callback_is_called_at_the_steps_that_it_names(due: Every, steps: list[int]) -> None:
    calls: list[str] = []
    named = Recorder(calls)
    named.due = due
    trainer(7, [named]).run()
    assert calls[1:-2] == [f"step {step}" for step in steps]
    assert [step for step in range(1, 8) if step in due] == steps
    assert due.next(7) == (9 if due.steps else NEVER)


def test_several_steps_at_once_end_where_a_callback_is_due() -> None:
    """As on a GPU; what is due whenever keeps none of them waiting, and misses no loss."""
    taken: list[int] = []

    class Runner(capture.EagerRunner):
        def advance(self, step, loader, max_steps):
            taken.append(max_steps)
            return np.array([step(*loader.batch(step.step)).item() for _ in range(max_steps)])

    class Counts(Recorder):
        due = Whenever()
        seen = 0

        def after_step(self, trainer):
            super().after_step(trainer)
            self.seen += len(trainer.losses)

    calls: list[str] = []
    fours, whenever = Recorder(calls, "four "), Counts(calls)
    fours.due = Every(4)
    run = trainer(10, [whenever, fours])
    run.train_step.runner = Runner()
    run.run()
    assert taken == [4, 4, 2] and whenever.seen == 10
    assert calls[2:-4] == ["step 4", "four step 4", "step 8", "four step 8", "step 10"]


def test_position_counts_samples_of_short_last_batches() -> None:
    at = trainer(7).position
    assert [at(step)["samples"] for step in range(8)] == [0, 4, 8, 10, 14, 18, 20, 24]
    assert at(4) == {"step": 4, "epoch": 1.333333, "samples": 14}


def test_states_are_kept_by_name() -> None:
    calls: list[str] = []
    one = trainer(1, [Recorder(calls), Callback()])
    assert one.state_dict() == {"recorder": {"calls": 0}}
    one.load_state_dict({"recorder": {}, "of a callback that is no more": {}})


def test_it_learns() -> None:
    line = trainer(200)
    line.run()
    weights = line.model.state_dict()
    np.testing.assert_allclose([weights["weight"].item(), weights["bias"].item()], [3, 1], atol=1e-3)
