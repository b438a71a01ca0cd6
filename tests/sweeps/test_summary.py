import pytest

from dlcourse.records.sweep import PointState, SweepState
from dlcourse.sweeps import summary
from dlcourse.sweeps.states import conclude


@pytest.fixture
def state():
    """Degrees 1 to 3, measured by two metrics on two splits; the second is best by validation."""
    points = []
    for degree, value in enumerate((3.0, 1.0, 2.0), start=1):
        metrics = {"train.mse": 1 / degree, "val.mse": value, "train.r2": 0.5, "val.r2": 0.25}
        points.append(PointState(str(degree), {"model.degree": degree}, status="done", metrics=metrics))
    select = {"metric": "mse", "split": "val", "higher_is_better": False}
    return SweepState("small", {"sweep": {}}, [], ["mse", "r2"], select, points)


def test_the_whole_table(state):
    conclude(state)
    assert summary.table(state, width=80).splitlines() == [
        "          mse          r2",
        "  degree   train  val  train   val",
        "       1       1    3    0.5  0.25",
        "*      2     0.5    1    0.5  0.25  best",
        "       3  0.3333    2    0.5  0.25",
    ]


def test_the_note_under_the_table_tells_of_means_where_there_are_any(state):
    for point in state.points:
        point.overrides["seed"] = 0
    conclude(state)
    assert state.groups and "±" not in summary.table(state, width=80)  # one seed: no mean of several
    state.points += [PointState("4", {"model.degree": 1, "seed": 1}, status="done", metrics={"val.mse": 3.0})]
    state.points[-1].metrics |= {"train.mse": 1.0, "val.r2": None, "train.r2": 0.5}
    conclude(state)
    note = "(mean ± standard error; no number in some repetitions, which the mean leaves out: val.r2)"
    assert summary.table(state, width=100).splitlines()[-1].strip() == note


def test_what_does_not_fit_is_in_the_csv_but_never_what_was_chosen_by(state):
    state.select["metric"] = "r2"
    conclude(state)
    assert summary.table(state, width=30).splitlines()[0].split() == ["r2"]
    assert summary.table(state, width=30).endswith("(mse: in table.csv)")
    assert summary.table(state, width=1).splitlines()[1].split() == ["degree", "train", "val"]
    assert "train.mse" in summary.points_csv(state)


def test_status_is_shown_where_it_matters(state):
    state.points[1].status, state.points[1].metrics = "diverged", {}
    conclude(state)
    lines = summary.table(state, width=80).splitlines()
    assert lines[3].split() == ["2", "diverged", "-", "-", "-", "-"]
    assert lines[4].startswith("*")


def test_no_validation_split_is_said(state):
    for point in state.points:
        point.metrics = {"train.mse": 1.0}
    conclude(state)
    assert summary.conclusion(state) == [
        "no best point is named: there is no validation mse; data.split.val or sweep.kfold gives one"
    ]


def test_a_metric_that_is_never_a_number_is_said(state):
    for point in state.points:
        point.metrics["val.mse"] = None
    conclude(state)
    assert summary.conclusion(state) == [
        "no best point is named: validation mse is a finite number at no point; watch another metric"
    ]


def test_the_least_expected_error_is_named(state):
    terms = {"bias2": 0.0, "variance": 0.0, "noise": 0.0, "mse": 0.0, "fits": 2}
    rows = [{"id": point.id, **terms, "expected": value} for point, value in zip(state.points, (3, 2, 1), strict=True)]
    state.resample = {"task": "regression", "resamples": 2, "points": rows}
    conclude(state)
    assert summary.conclusion(state)[-1] == "least expected error (bias² + variance + noise): model.degree=3  (1)"


@pytest.mark.parametrize(("seeds", "message"), [((0, 0, 1), "model.degree=1  (2.5)"), ((0, 1, 2), "")])
def test_the_least_expected_error_is_of_a_setting_and_not_of_its_repetitions(state, seeds, message):
    """Three points of one degree each, or of one degree alone: seeds repeat a setting."""
    terms = {"bias2": 0.0, "variance": 0.0, "noise": 0.0, "mse": 0.0, "fits": 2}
    degrees = (1, 2, 1) if message else (1, 1, 1)
    for point, degree, seed in zip(state.points, degrees, seeds, strict=True):
        point.overrides = {"model.degree": degree, "seed": seed}
    rows = [{"id": point.id, **terms, "expected": value} for point, value in zip(state.points, (4, 3, 1), strict=True)]
    state.resample = {"task": "regression", "resamples": 2, "points": rows}
    conclude(state)
    lines = [line for line in summary.conclusion(state) if line.startswith("least expected")]
    assert lines == ([f"least expected error (bias² + variance + noise): {message}"] if message else [])


def test_failures_come_once_more(state):
    assert summary.failures(state.points) == []
    state.points[2].status, state.points[2].error = "failed", "disk full"
    assert summary.failures(state.points) == ["1 of 3 points failed:", "  3: disk full"]
