from dlcourse.training.summary import estimate_lines, metric_table


def test_columns_are_aligned() -> None:
    metrics = {"train": {"mse": 1.0, "r2": 0.123456789}, "test": {"mse": 1234567.0, "r2": -2.0}}
    assert metric_table(metrics, {"mse": "dollars^2", "r2": ""}).splitlines() == [
        "                    train         test",
        "mse [dollars^2]         1  1.23457e+06",
        "r2               0.123457           -2",
    ]


def test_estimates_are_aligned() -> None:
    assert estimate_lines({"slope": 3.0, "intercept": -0.5}) == "slope     = 3\nintercept = -0.5"
