import pytest

from dlcourse.training.evaluation import Evaluation
from dlcourse.training.history import History
from dlcourse.training.monitor import BestTracker, EarlyStopping

from .tiny import trainer


class FakeTrainer:
    def __init__(self) -> None:
        self.step, self.metrics, self.stop_reason = 0, {}, None

    def stop(self, reason: str) -> None:
        self.stop_reason = reason


def feed(watcher: BestTracker, values: list[float], steps: int = 10) -> FakeTrainer:
    fake = FakeTrainer()
    watcher.start(fake)
    for value in values:
        if fake.stop_reason:
            break
        fake.step += steps
        fake.metrics = {"val": {"m": value}}
        watcher.after_evaluation(fake)
    return fake


@pytest.mark.parametrize(("higher", "step", "value"), [(True, 30, 5.0), (False, 20, 1.0)])
def test_best_goes_by_the_metrics_direction_and_takes_the_first_of_equals(higher, step, value) -> None:
    best = BestTracker("m", "val", higher)
    feed(best, [3.0, 1.0, 5.0, 5.0, 1.0])
    assert best.describe() == {"step": step, "metric": "m", "split": "val", "value": value}


def test_nan_is_never_the_best() -> None:
    best = BestTracker("m", "val", False)
    feed(best, [float("nan")])
    assert best.describe() is None
    feed(best, [float("nan"), 2.0, float("nan")])
    assert best.value == 2.0


def test_early_stopping_waits_for_patience_evaluations_in_a_row() -> None:
    stopping = EarlyStopping("m", "val", False, patience=3)
    fake = feed(stopping, [5, 4, 4.5, 4.5, 3, 3, 3.1, 3.2, 0])
    assert fake.step == 80 and stopping.step == 50
    assert "stopped early at step 80: val m was not better than 3 (step 50) in 3 evaluations" in fake.stop_reason


def test_min_delta_is_what_counts_as_better() -> None:
    stopping = EarlyStopping("m", "val", True, patience=2, min_delta=0.5)
    assert feed(stopping, [1.0, 1.4, 1.5]).stop_reason
    assert not feed(EarlyStopping("m", "val", True, patience=2, min_delta=0.5), [1.0, 1.4, 1.6]).stop_reason


def test_the_state_goes_on_and_more_patience_goes_on_from_a_stop() -> None:
    values = [5, 4, 4.5, 4.6, 4.7, 1]
    whole = EarlyStopping("m", "val", False, patience=3)
    feed(whole, values)
    first = EarlyStopping("m", "val", False, patience=3)
    feed(first, values[:4])
    second = EarlyStopping("m", "val", False, patience=3)
    second.load_state_dict(first.state_dict())
    feed(second, values[4:])
    assert second.state_dict() == {**whole.state_dict(), "step": second.step}
    stopped = EarlyStopping("m", "val", False, patience=3)
    stopped.load_state_dict(second.state_dict())
    assert feed(stopped, []).stop_reason
    patient = EarlyStopping("m", "val", False, patience=4)
    patient.load_state_dict(second.state_dict())
    assert not feed(patient, []).stop_reason


def test_it_stops_the_loop() -> None:
    from .tiny import METRICS, loader, part

    history = History(None, 100)
    evaluation = Evaluation({"val": loader(part())}, METRICS, 1, history)
    # A rate of zero never improves.
    run = trainer(3000, [history, evaluation, EarlyStopping("mse", "val", False, patience=2)], lr=0.0)
    run.run()
    assert run.step == 9


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_never_a_number_is_said(value: float) -> None:
    message = feed(EarlyStopping("m", "val", value != value, patience=2), [value] * 3).stop_reason
    assert "val m was no finite number in any of 2 evaluations" in message and "None" not in message
    late = feed(EarlyStopping("m", "val", True, patience=2), [float("nan"), 0.5, float("nan"), float("nan")])
    assert "was not better than 0.5 (step 20) in 2 evaluations" in late.stop_reason
