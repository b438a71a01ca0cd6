import pytest

from dlcourse.records.sweep import PointState
from dlcourse.sweeps.conclusions import (
    Selection,
    candidates,
    choice_record,
    choose,
    complexity,
    describe_choice,
    group_records,
    remarks,
)

BY_MSE = Selection("mse", "val", higher_is_better=False)


def point(index, overrides, value, status="done", parameters=None):
    metrics = {} if value is None else {"val.mse": value}
    return PointState(str(index), overrides, status=status, metrics=metrics, parameters=parameters)


def folds(values_of, parameters=lambda degree: degree + 1):
    points = []
    for degree, values in values_of.items():
        for fold, value in enumerate(values):
            overrides = {"model.degree": degree, "data.kfold": {"folds": len(values), "fold": fold}}
            points.append(point(len(points), overrides, value, parameters=parameters(degree)))
    return points


def test_best_point_in_words():
    settings = candidates([point(degree, {"model.degree": degree}, abs(degree - 3) + 0.5) for degree in range(1, 6)])
    best, simplest = choose(settings, BY_MSE)
    assert (best, simplest) == (2, None)
    assert describe_choice(choice_record(settings[best], BY_MSE), None, BY_MSE) == [
        "best by validation mse: model.degree=3  (0.5)"
    ]


def test_folds_are_averaged_and_the_simplest_within_one_error_is_named():
    settings = candidates(folds({1: [9, 9.5, 10], 2: [4.1, 5, 6], 3: [4, 5, 5.5], 9: [4, 5, 7]}))
    records = group_records(settings)
    assert [record["overrides"] for record in records] == [{"model.degree": degree} for degree in (1, 2, 3, 9)]
    assert records[0]["mean"] == {"val.mse": 9.5}
    assert records[0]["se"]["val.mse"] == pytest.approx(0.5 / 3**0.5)
    assert records[0]["n"] == {"val.mse": 3} and records[0]["complete"]
    best, simplest = choose(settings, BY_MSE)
    assert (best, simplest) == (2, 1)
    words = describe_choice(choice_record(settings[2], BY_MSE), choice_record(settings[1], BY_MSE), BY_MSE)
    assert words == [
        "best by validation mse: model.degree=3  (4.833 ± 0.44) (mean of 3, ± standard error)",
        "simplest within one standard error of the best: model.degree=2  (5.033)",
    ]


def test_seeds_repeat_as_folds_do():
    points = [point(i, {"optimizer.lr": lr, "seed": seed}, lr + seed) for i, (lr, seed) in enumerate([(1, 0), (1, 2)])]
    (record,) = group_records(candidates(points))
    assert record["overrides"] == {"optimizer.lr": 1} and record["mean"] == {"val.mse": 2}


def test_a_setting_with_a_diverged_fold_is_not_chosen():
    points = folds({1: [3, 3.1], 2: [0.1, 0.1]})
    points[3].status = "diverged"
    settings = candidates(points)
    assert choose(settings, BY_MSE)[0] == 0
    record = group_records(settings)[1]
    assert not record["complete"] and record["n"] == {"val.mse": 1} and record["se"] == {"val.mse": None}


def test_no_validation_no_choice():
    settings = candidates([PointState("0", {"model.degree": 1}, status="done", metrics={"train.mse": 1.0})])
    assert choose(settings, BY_MSE) == (None, None)
    assert describe_choice(None, None, BY_MSE) == []


def test_cross_validation_of_one_setting_is_an_estimate_not_a_choice():
    points = [point(i, {"data.kfold": {"folds": 2, "fold": i}}, value) for i, value in enumerate([1.0, 2.0])]
    settings = candidates(points)
    best, simplest = choose(settings, BY_MSE)
    assert simplest is None
    assert describe_choice(choice_record(settings[best], BY_MSE), None, BY_MSE) == [
        "validation mse: 1.5 ± 0.5 (mean of 2, ± standard error)"
    ]


def test_a_setting_whose_metric_is_no_number_in_a_fold_is_not_chosen():
    points = folds({1: [3, 3.1], 2: [0.1, 0.1]})
    points[3].metrics["val.mse"] = None  # infinite
    assert choose(candidates(points), BY_MSE)[0] == 0
    points[1].metrics["val.mse"] = None  # where no setting has a number in it, the fold tells nothing
    assert choose(candidates(points), BY_MSE)[0] == 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0, None, 2.0, None], "1.5 ± 0.5 (mean of 2 of 4, ± standard error; in the others it is no number)"),
        ([None, None, 2.0], "2 (mean of 1 of 3; in the others it is no number)"),
        ([1.0, 2.0], "1.5 ± 0.5 (mean of 2, ± standard error)"),
    ],
)
def test_the_words_count_the_repetitions_in_which_the_metric_is_a_number(values, words):
    points = [point(i, {"data.kfold": {"folds": 4, "fold": i}}, value) for i, value in enumerate(values)]
    (setting,) = candidates(points)
    assert describe_choice(choice_record(setting, BY_MSE), None, BY_MSE) == [f"validation mse: {words}"]


def test_complexity():
    assert complexity({"model.degree": 2}, 3) < complexity({"model.degree": 9}, 10)
    assert complexity({"optimizer.ridge": 1.0}, 10) < complexity({"optimizer.ridge": 0.0}, 10)
    assert complexity({"train.epochs": 5}, 10) < complexity({"train.epochs": 50}, 10)
    assert complexity({"optimizer.lr": 5}, 10) == complexity({"optimizer.lr": 50}, 10)


def axis(path, values, kind="grid"):
    return {"kind": kind, "path": path, "label": path, "values": values}


def message(path, values, found, kind="grid"):
    pairs = zip(values, found, strict=True)
    settings = candidates([point(i, {path: value}, each) for i, (value, each) in enumerate(pairs)])
    return remarks(settings, choose(settings, BY_MSE)[0], BY_MSE, [axis(path, values, kind)])


def test_what_the_best_leaves_open():
    assert message("optimizer.lr", [0.1, 0.2, 0.3], [3, 1, 2]) == []
    assert message("optimizer.lr", [0.2, 0.3, 0.1], [3, 1, 2]) == [
        "the largest optimizer.lr that was tried, 0.3, is best: try beyond it"
    ]
    assert message("model.hidden", [[16], [32], [64]], [1, 2, 3])[0].startswith(
        "the least model.hidden that was tried, 16"
    )
    for path, values in [("model.k", [1, 2, 3]), ("train.l2", [0.0, 0.1, 0.2]), ("data.noise", [0.1, 0.2, 0.3])]:
        assert message(path, values, [1, 2, 3]) == []  # none below it, or nothing to choose
    assert (
        message("optimizer.lr", [0.1, 0.2], [1, 2])
        == message("optimizer.lr", [0.1, 0.2, 0.3], [1, 2, 3], "random")
        == []
    )
    assert message("optimizer.lr", [0.1, 0.2, 0.3], [1, 1, 1]) == [
        "as good as the best: optimizer.lr=0.2 and 1 more; of equals the first is named"
    ]
