from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.sweeps.axes import axes
from dlcourse.sweeps.expansion import name_points, product
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
