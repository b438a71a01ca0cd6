from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.config import from_mapping
from dlcourse.sweeps.axes import axes
from dlcourse.sweeps.expansion import expand, name_points, product
from dlcourse.text import canonical


def points(section, seed=0):
    combinations = product(axes(section, seed))
    return list(zip(name_points(combinations), combinations, strict=True))


def test_names_as_the_reader_expects():
    found = points({"grid": {"model.degree": [1, 2, 3, 4]}})
    assert found[3] == ("003-degree=4", {"model.degree": 4})


def test_product_last_axis_fastest_and_folds_together():
    found = points({"grid": {"model.degree": [1, 2]}, "zip": {"a.x": [1, 2], "a.y": [3, 4]}, "kfold": 2})
    assert [name for name, _ in found] == [
        "000-degree=1-x=1-y=3-fold=0",
        "001-degree=1-x=1-y=3-fold=1",
        "002-degree=1-x=2-y=4-fold=0",
        "003-degree=1-x=2-y=4-fold=1",
        "004-degree=2-x=1-y=3-fold=0",
        "005-degree=2-x=1-y=3-fold=1",
        "006-degree=2-x=2-y=4-fold=0",
        "007-degree=2-x=2-y=4-fold=1",
    ]
    assert found[5][1] == {"model.degree": 2, "a.x": 1, "a.y": 3, "data.kfold": {"folds": 2, "fold": 1}}


def test_an_outer_path_never_hides_an_inner_one():
    (_, overrides), *_ = points({"grid": {"optimizer.lr": [0.1], "optimizer": [{"name": "sgd"}]}})
    assert list(overrides) == ["optimizer", "optimizer.lr"]


def test_names_are_safe_folders():
    hostile = ["../../etc/passwd", "a\\b:c", "", "x" * 500, "ä ö", "-rf", "con."]
    for name, _ in points({"grid": {"data.path": hostile}}):
        assert len(name) < 120
        assert name[:3].isdigit()
        assert not set(name) & set('/\\:*?"<>| ')


def test_many_points_sort_by_name():
    names = [name for name, _ in points({"grid": {"seed": list(range(1001))}})]
    assert names == sorted(names)


words = st.sampled_from(["", "a", "a b", "1"])
values = st.one_of(st.integers(-3, 3), st.floats(-3, 3), st.booleans(), st.none(), words)
columns = st.lists(values, min_size=1, max_size=4, unique_by=canonical)


grids = st.dictionaries(st.sampled_from(["a.x", "a.y", "b.x", "model.name"]), columns, max_size=3)


@settings(deadline=None)
@given(grids, st.integers(1, 3))
def test_no_point_lost_or_doubled(grid, folds):
    section = {"grid": grid, "kfold": folds if folds > 1 else None}
    if not grid and folds == 1:
        return
    found = points(section)
    expected = folds
    for column in grid.values():
        expected *= len(column)
    assert len({name for name, _ in found}) == len({canonical(overrides) for _, overrides in found}) == expected
    assert found == points(section)
    for path, column in grid.items():
        listed = {canonical(value) for value in column}
        assert {canonical(overrides[path]) for _, overrides in found} == listed


def test_a_value_that_is_checked_when_the_config_is_read_is_not_checked_again(make, monkeypatch):
    from dlcourse.config import config as module

    checked = []
    monkeypatch.setattr(
        module, "check_experiment", lambda given, real=module.check_experiment: checked.append(given) or real(given)
    )
    found = expand(from_mapping(make(sweep={"grid": {"model.degree": [1, 2, 3]}})))
    assert [point.config.data["model"]["degree"] for point in found] == [1, 2, 3]
    assert len(checked) == 4  # the config as it is, and each value once


def test_a_setting_is_not_taken_for_one_whose_values_are_laid_over_in_another_order(make):
    adam = {"name": "adam", "lr": 0.5}
    sweep = {"zip": {"optimizer.lr": [0.1, 0.2], "optimizer": [adam, {**adam, "betas": [0.5, 0.9]}]}}
    found = expand(from_mapping(make(sweep=sweep)))
    assert [point.config.data["optimizer"]["lr"] for point in found] == [0.1, 0.2]
