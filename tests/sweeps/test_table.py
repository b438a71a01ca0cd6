from dlcourse.sweeps.table import Column, metric_columns, render
from dlcourse.text import metric_keys


def test_aligned_with_groups_and_a_marked_row():
    rows = [{"train.mse": 1.0, "val.mse": 2.0, "val.r2": 0.5}, {"train.mse": 0.25, "val.mse": None, "val.r2": 0.123456}]
    columns = [Column("degree", ["1", "10"]), *metric_columns(rows, ["mse", "r2"])]
    assert render(columns, mark=1, note="best").splitlines() == [
        "          mse         r2",
        "  degree  train  val     val",
        "       1      1    2     0.5",
        "*     10   0.25    -  0.1235  best",
    ]


def test_a_group_wider_than_its_columns():
    text = render([Column("a", ["1"], group="cross_entropy"), Column("b", ["2"], group="x")])
    assert text.splitlines() == ["  cross_entropy  x", "              a  b", "              1  2"]


def test_words_stand_left():
    assert render([Column("run", ["a", "bcd"], left=True), Column("n", ["1", "22"])]).splitlines() == [
        "  run   n",
        "  a     1",
        "  bcd  22",
    ]


def test_order_of_metrics_and_splits():
    rows = [{"test.mse": 1, "val.accuracy": 1, "train.mse": 1}, {"val.mse": 1}]
    assert metric_keys(rows, ["mse"]) == [("mse", "train"), ("mse", "val"), ("mse", "test"), ("accuracy", "val")]


def test_mean_and_standard_error():
    (column,) = metric_columns([{"val.mse": 0.5}, {"val.mse": 1.0}], errors=[{"val.mse": 0.0123}, {"val.mse": None}])
    assert column.cells == ["0.5 ± 0.012", "1"]
