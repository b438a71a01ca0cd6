"""Drawing into a folder: what is written, with the same bytes each time, whatever else goes wrong."""

import logging
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image

from dlcourse import plots
from dlcourse.errors import UserError
from dlcourse.plots import gallery
from dlcourse.plots.figures.fit import Fit
from dlcourse.plots.style import DPI
from tests.plots.folders import (
    CLASSIFICATION,
    REGRESSION,
    degree_sweep,
    gaussian_arrays,
    regression_arrays,
    training_events,
    write_run,
    write_sweep,
)


def test_images_come_in_the_order_of_a_report_at_150_dpi(tmp_path: Path) -> None:
    write_run(tmp_path, arrays=gaussian_arrays(), facts=CLASSIFICATION, events=training_events())
    drawn = plots.draw(tmp_path)
    assert [path.stem for path in drawn] == [
        "decision_regions",
        "confusion",
        "roc",
        "precision_recall",
        "loss",
        "metrics",
    ]
    for path in drawn:
        with Image.open(path) as image:
            assert image.info["dpi"] == pytest.approx((DPI, DPI), abs=0.1)
            assert image.width >= 960


def test_an_image_carries_title_and_caption_and_no_date(tmp_path: Path) -> None:
    degree_sweep(tmp_path)
    plots.draw(tmp_path)
    found = {image.path.stem: image for image in gallery.images(tmp_path)}
    title = found["error_curve"].title
    assert "validation mean squared error is least at degree" in title
    assert found["error_curve"].caption.endswith(".")
    with Image.open(found["error_curve"].path) as image:
        assert set(image.text) == {"Title", "Description", "Pictures"}


def test_equal_folders_give_equal_bytes(tmp_path: Path) -> None:
    bytes_of = []
    for name in ("one", "two"):
        folder = tmp_path / name / "run"
        write_run(folder, arrays=regression_arrays(), facts=REGRESSION, events=training_events())
        with matplotlib.rc_context({"lines.linewidth": 7.0 if name == "two" else 1.0, "font.size": 22}):
            drawn = plots.draw(folder)
        bytes_of.append([path.read_bytes() for path in [*drawn, plots.report(folder)]])
    assert bytes_of[0] == bytes_of[1]


def test_matplotlib_is_left_as_it_was(tmp_path: Path) -> None:
    write_run(tmp_path, arrays=regression_arrays(), facts=REGRESSION)
    before = dict(matplotlib.rcParams)
    plots.draw(tmp_path)
    assert dict(matplotlib.rcParams) == before


def test_import_is_light_and_pyplot_is_never_imported(tmp_path: Path) -> None:
    write_run(tmp_path, arrays=regression_arrays(), facts=REGRESSION)
    code = (
        "import sys; from dlcourse import plots; assert not {'matplotlib', 'jinja2', 'PIL'} & set(sys.modules);"
        f"plots.draw({str(tmp_path)!r}); plots.report({str(tmp_path)!r});"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_no_two_plots_write_the_same_file() -> None:
    names = [plot.name for plot in gallery.plots()]
    assert len(set(names)) == len(names)


def test_images_that_no_longer_fit_are_removed_and_others_stay(tmp_path: Path) -> None:
    write_run(tmp_path, arrays=regression_arrays(), facts=REGRESSION)
    plots.draw(tmp_path)
    own = tmp_path / "plots" / "my_own.png"
    Image.new("RGB", (300, 200)).save(own)
    (tmp_path / "predictions.npz").unlink()
    assert plots.draw(tmp_path) == []
    assert [path.name for path in (tmp_path / "plots").iterdir()] == ["my_own.png"]
    assert [(image.title, image.caption) for image in gallery.images(tmp_path)] == [("my own", "")]


def test_an_image_that_fails_does_not_cost_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("no such curve")

    write_run(tmp_path, arrays=regression_arrays(), facts=REGRESSION)
    plots.draw(tmp_path)
    monkeypatch.setattr(Fit, "draw", fail)
    with caplog.at_level(logging.WARNING):
        assert [path.stem for path in plots.draw(tmp_path)] == ["residuals"]
    assert "the plot fit" in caplog.text and "no such curve" in caplog.text
    assert not (tmp_path / "plots" / "fit.png").exists(), "an old image would pass for a new one"


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("")])
def test_a_folder_that_is_neither_run_nor_sweep(tmp_path: Path, make) -> None:
    make(tmp_path / "folder")
    with pytest.raises(UserError, match="folder.*(no such folder|neither a run nor a sweep)"):
        plots.draw(tmp_path / "folder")
    assert not (tmp_path / "folder" / "plots").exists()


def test_a_damaged_sweep_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "sweep.json").write_text('{"kind": "swe')
    with pytest.raises(UserError, match="sweep.json"):
        plots.draw(tmp_path)


def test_values_that_are_not_finite_do_not_stop_any_image(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arrays = regression_arrays()
    for key in ("curve_output", "val_output", "train_output"):
        arrays[key] = np.where(np.arange(len(arrays[key]))[:, None] % 3 == 0, np.nan, arrays[key])
    arrays["curve_output"][1] = np.inf
    arrays["test_output"] = np.full_like(arrays["test_output"], np.inf)
    events = training_events(epochs=3)
    for event in events[5:]:
        event.update(loss=None) if event["event"] == "train" else event["metrics"]["val"].update(accuracy=None)
    write_run(tmp_path / "run", arrays=arrays, facts=REGRESSION, events=events, metrics={"val": {"mse": None}})
    points = [
        {"overrides": {"model.degree": degree}, "metrics": {"train.mse": 0.1, "val.mse": value}}
        for degree, value in enumerate([None, float("nan"), float("inf"), 0.5, 0.4])
    ]
    write_sweep(tmp_path / "sweep", points)
    assert [path.stem for path in plots.draw(tmp_path / "run")] == ["fit", "residuals", "loss", "metrics"]
    assert [path.stem for path in plots.draw(tmp_path / "sweep")] == ["error_curve"]
    assert caplog.text == ""


@pytest.mark.parametrize("length", [0, 1, 2])
def test_histories_of_no_lines_one_and_two(tmp_path: Path, length: int) -> None:
    write_run(tmp_path, events=training_events(epochs=length, per_epoch=1)[: 2 * length] if length else [])
    assert [path.stem for path in plots.draw(tmp_path)] == ([] if length < 2 else ["loss", "metrics"])


def test_a_long_history_is_thinned(tmp_path: Path) -> None:
    events = [
        {"event": "train", "step": step, "epoch": step / 1000, "loss": 1 / step, "lr": 0.1} for step in range(1, 30_001)
    ]
    write_run(tmp_path, events=events)
    assert [path.stem for path in plots.draw(tmp_path)] == ["loss"]


def test_sweeps_without_results_draw_nothing(tmp_path: Path) -> None:
    pending = [{"overrides": {"model.degree": degree}, "metrics": {}, "status": "pending"} for degree in (1, 2)]
    write_sweep(tmp_path / "pending", pending, status="running")
    write_sweep(tmp_path / "one", [{"overrides": {}, "metrics": {"val.mse": 1.0}}])
    write_sweep(tmp_path / "none", [])
    for name in ("pending", "one", "none"):
        assert plots.draw(tmp_path / name) == []
        assert plots.report(tmp_path / name).is_file()
