"""The report: one file that needs nothing else, shows what there is, and takes no text for markup."""

import argparse
import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlcourse import plots
from dlcourse.commands import report as command
from dlcourse.errors import UserError
from dlcourse.plots import style
from dlcourse.plots.gallery import images
from dlcourse.plots.gallery import plots as gallery_plots
from tests.browser import Browser
from tests.plots.folders import (
    REGRESSION,
    choice,
    degree_sweep,
    estimator_sweep,
    fold_sweep,
    regression_arrays,
    resample_sweep,
    write_run,
    write_sweep,
)

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>"


class Page(HTMLParser):
    """Tags, attributes and text of a page; fails where tags do not match."""

    void = ("meta", "img", "link", "br", "input")

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))

    def values(self, name: str) -> list[str]:
        return [value for _, attribute, value in self.attributes if attribute == name]


def a_run(path: Path, **result) -> Path:
    metrics = {"train": {"mse": 0.00081, "r2": 0.91}, "val": {"mse": 0.00093, "r2": None}, "test": {"mse": 0.00105}}
    estimates = {"x^0": 0.0012, "x^1": 1.01}
    best = {"step": 120, "metric": "mse", "split": "val", "value": 0.00093}
    record = {"metrics": metrics, "estimates": estimates, "best": best, "seconds": 83.0, "step": 2400, **result}
    return write_run(path, arrays=regression_arrays(), facts=REGRESSION, **record)


def test_a_run_shows_everything_it_has(tmp_path: Path) -> None:
    a_run(tmp_path, config_overrides={"train.epochs": 2}, weights={"from": "best", "step": 120})
    page = Page(plots.report(tmp_path))
    for words in (
        "polynomial done",
        "Polynomials on noisy cubic data.",
        "mean squared error 0.00081 0.00093 0.00105",
        "R² 0.91 NaN —",
        "2,400",
        "1 min 23 s",
        "best validation mean squared error, step 120 0.00093",
        "Of the best weights (step 120).",
        "x^1 1.01",
        "train.epochs 2",
        "model: {name: polynomial, degree: 3}",
        "packages.numpy 2.0",
    ):
        assert words in page.text, words
    assert len([source for source in page.values("src") if source.startswith("data:image/png;base64,")]) == 2
    assert page.values("alt")[0].startswith("Polynomial of degree 3: off by")


def test_it_opens_offline(tmp_path: Path) -> None:
    for folder in (a_run(tmp_path / "run"), degree_sweep(tmp_path / "sweep")):
        path = plots.report(folder)
        page = Page(path)
        assert not {"script", "link", "iframe", "object"} & set(page.tags)
        assert all(source.startswith("data:") for source in page.values("src"))
        assert all(link.startswith("./points/") for link in page.values("href"))
        assert not re.search(r"https?:|url\(|@import", path.read_text(encoding="utf-8"))
        assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in page.values("content")


def test_dark_and_light(tmp_path: Path) -> None:
    html = plots.report(a_run(tmp_path)).read_text(encoding="utf-8")
    assert "prefers-color-scheme: dark" in html and 'content="light dark"' in html


def test_pictures_on_a_dark_page(tmp_path: Path) -> None:
    """A drawing is turned dark by a filter; of an image with photographs only what is around them."""
    with style.styled():
        figure, axes = style.subplots(4, 3)
        photo = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
        axes.imshow(photo, interpolation="nearest")
        (tmp_path / "run" / "plots").mkdir(parents=True)
        style.save(figure, tmp_path / "run" / "plots" / "photo.png", "")
        drawing, axes = style.subplots(4, 3)
        axes.plot([1, 2])
        style.save(drawing, tmp_path / "run" / "plots" / "line.png", "")
    Image.new("RGB", (9, 9)).save(tmp_path / "run" / "plots" / "of_another_program.png")
    line, other, image = images(tmp_path / "run")
    assert (line.photographs, line.dark) == ((), "") and (other.photographs, other.dark) == (None, "")
    assert len(image.photographs) == 1
    left, top, right, bottom = image.photographs[0]
    light = np.asarray(Image.open(image.path).convert("RGB"))
    dark = np.asarray(Image.open(io.BytesIO(base64.b64decode(image.dark))))
    np.testing.assert_array_equal(dark[top:bottom, left:right], light[top:bottom, left:right])
    inner = light[top + 4 : bottom - 4, left + 4 : right - 4].reshape(-1, 3)
    assert len(np.unique(inner, axis=0)) >= 64  # it is the photograph
    assert light[0, 0].min() > 250 and dark[0, 0].max() < 30
    html = plots.report(a_run(tmp_path / "run")).read_text(encoding="utf-8")
    assert html.count('<img class="drawing"') == 1
    assert html.count('<source media="screen and (prefers-color-scheme: dark)" srcset="data:image/png;base64,') == 1


def test_a_text_of_the_model(tmp_path: Path) -> None:
    folder = a_run(tmp_path)
    assert "A text of the model" not in plots.report(folder).read_text(encoding="utf-8")
    (folder / "sample.txt").write_text("ROMEO:\n<b>O")
    html = plots.report(folder).read_text(encoding="utf-8")
    assert "A text of the model" in html and "ROMEO:\n&lt;b&gt;O" in html
    assert html.index("A text of the model") < html.index("<h2>Plots")


def test_curves_come_before_galleries() -> None:
    order = [plot.name for plot in gallery_plots()]
    galleries = ["templates", "neighbors", "mistakes"]
    assert max(map(order.index, ("loss", "metrics"))) < min(map(order.index, galleries))


def test_on_a_phone_on_a_dark_page_and_printed(tmp_path: Path) -> None:
    report = plots.report(a_run(tmp_path, config_overrides={"train.epochs": 2}))
    filtered = "getComputedStyle(document.querySelector('img.drawing')).filter"
    with Browser(tmp_path) as page:
        page.emulate(390, 844)
        page.open(report.as_uri())
        page.wait("document.images.length > 0 && document.images[0].complete", True)
        assert page.value("document.documentElement.scrollWidth <= innerWidth")
        table = "document.querySelector('.scroll')"
        assert page.value(f"{table}.scrollWidth <= {table}.clientWidth")  # every split is in sight
        assert page.value(filtered) == "none"
        page.emulate(1200, 900, dark=True)
        assert page.value(filtered) == "invert(0.9) hue-rotate(180deg)"
        page.emulate(1200, 900, dark=True, printed=True)
        assert page.value(filtered) == "none"
        assert page.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_no_text_is_taken_for_markup(tmp_path: Path) -> None:
    arrays, facts = regression_arrays(), {**REGRESSION, "target_name": EVIL, "target_unit": EVIL}
    run = write_run(
        tmp_path / "run",
        name=EVIL,
        status=EVIL,
        arrays=arrays,
        facts=facts,
        error=EVIL,
        model="{name: polynomial, note: '" + EVIL.replace("'", "''") + "'}",
        metrics={EVIL: {EVIL: 1.0}},
        estimates={EVIL: 1.0},
        config_overrides={EVIL: EVIL},
        best={"step": 1, "metric": EVIL, "split": EVIL, "value": EVIL},
    )
    (run / "environment.json").write_text(json.dumps({EVIL: EVIL}))
    (run / "log.txt").write_text(EVIL)
    points = [
        {"id": EVIL, "overrides": {EVIL: EVIL}, "metrics": {f"val.{EVIL}": 1.0}, "status": EVIL, "error": EVIL},
        {"overrides": {EVIL: 2}, "metrics": {}, "folder": "points/javascript:alert(1)"},
    ]
    sweep = write_sweep(tmp_path / "sweep", points, name=EVIL, config={"name": EVIL})
    for folder in (run, sweep):
        page = Page(plots.report(folder))
        assert "script" not in page.tags and set(page.values("onerror")) == set()
        assert EVIL in page.text
        assert not [link for link in page.values("href") if not link.startswith("./")]


@pytest.mark.parametrize("status", ["running", "failed", "diverged", "interrupted"])
def test_runs_that_did_not_finish_say_so(tmp_path: Path, status: str) -> None:
    a_run(tmp_path, status=status, error="loss is NaN at step 7" if status == "diverged" else None)
    (tmp_path / "log.txt").write_text("\n".join(f"line {index}" for index in range(100)))
    page = Page(plots.report(tmp_path))
    assert f"polynomial {status}" in page.text
    assert ("loss is NaN at step 7" in page.text) == (status == "diverged")
    assert "line 99" in page.text and "line 1 " not in page.text


def test_a_run_that_has_only_begun(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("# What it is for.\nname: early\n")
    (tmp_path / "environment.json").write_text("{}")
    page = Page(plots.report(tmp_path))
    for words in ("early unknown", "What it is for.", "No metrics were written.", "Nothing to draw yet."):
        assert words in page.text


def test_damaged_files_are_named(tmp_path: Path) -> None:
    a_run(tmp_path)
    (tmp_path / "predictions.npz").write_bytes(b"torn")
    (tmp_path / "environment.json").write_text("{")
    page = Page(plots.report(tmp_path))
    assert "environment.json could not be read" in page.text
    assert "mean squared error 0.00081" in page.text


def test_a_sweep_shows_its_table_with_the_best_row_and_links(tmp_path: Path) -> None:
    degree_sweep(tmp_path)
    plots.report(tmp_path / "points" / "001")
    path = plots.report(tmp_path)
    page = Page(path)
    assert "Best by validation mean squared error: degree" in page.text
    assert "degree training validation test training validation test run" in page.text
    assert path.read_text(encoding="utf-8").count('<tr class="best">') == 1
    links = page.values("href")
    assert len(links) == 9
    assert links[:2] == ["./points/000/", "./points/001/report.html"]
    assert all((tmp_path / link).exists() for link in links)
    assert "9 of 9 done" in page.text


def test_a_sweep_says_what_looks_wrong_in_its_points_and_what_the_best_leaves_open(tmp_path: Path) -> None:
    degree_sweep(tmp_path)
    for index in range(5):
        file = tmp_path / "points" / f"{index:03d}" / "result.json"
        advice = [{"rule": "overfitting", "text": f"point {index} overfits."}]
        file.write_text(json.dumps({**json.loads(file.read_text()), "advice": advice}))
    state = json.loads((tmp_path / "sweep.json").read_text())
    (tmp_path / "sweep.json").write_text(json.dumps({**state, "remarks": ["the largest lr is best: try beyond it"]}))
    page = Page(plots.report(tmp_path))
    assert "000, 001, 002 and 2 more points: point 0 overfits." in page.text and "point 1 overfits" not in page.text
    assert "The largest lr is best: try beyond it." in page.text


def test_folds_have_means_standard_errors_and_every_point(tmp_path: Path) -> None:
    page = Page(plots.report(fold_sweep(tmp_path)))
    assert re.search(
        r"ridge training validation validation repetitions 1e-6 0.001798 ± 0 0.00\d+ ± [\d.e-]+", page.text
    )
    assert "Simplest within one standard error of the best:" in page.text
    assert "Every point" in page.text and "ridge fold" in page.text
    assert len(page.values("href")) == 40


def test_means_of_fewer_repetitions_say_of_how_many(tmp_path: Path) -> None:
    """As where a metric is no number in some folds."""
    path = fold_sweep(tmp_path)
    state = json.loads((path / "sweep.json").read_text())
    for group in state["groups"]:
        group["n"]["val.mse"] = 3
    (path / "sweep.json").write_text(json.dumps(state))
    text = Page(plots.report(path)).text
    assert re.search(r"Best by validation mean squared error: \S+ \S+ \([\d.]+ ± [\d.e-]+, mean of 3 of 5\)", text), (
        text
    )
    assert re.search(r"1e-6 0.001798 ± 0 0.00\d+ ± [\d.e-]+ \(of 3\)", text)


def test_resamples_have_a_table_of_their_own(tmp_path: Path) -> None:
    page = Page(plots.report(resample_sweep(tmp_path / "curves", degrees=(1, 3), fits=20)))
    assert "Over 20 training sets drawn anew degree bias² variance noise their sum measured error fits 1" in page.text
    page = Page(plots.report(estimator_sweep(tmp_path / "estimators")))
    assert "samples estimator truth measured formula measured formula measured formula 5 sample_mean 3" in page.text


@pytest.mark.parametrize("sweep", [resample_sweep, estimator_sweep])
def test_resamples_come_first_and_the_metrics_of_one_training_set_say_that_they_are(tmp_path: Path, sweep) -> None:
    text = Page(plots.report(sweep(tmp_path))).text
    assert text.index("training sets drawn anew") < text.index("Each setting once, on the training set of the config")
    assert "Settings" not in text and "Best by" not in text


def test_failures_of_a_sweep_are_told(tmp_path: Path) -> None:
    points = [
        {"overrides": {"optimizer.lr": 0.1}, "metrics": {"val.mse": 0.5}},
        {"overrides": {"optimizer.lr": 9.0}, "metrics": {}, "status": "diverged", "error": "loss is NaN at step 3"},
        {"overrides": {"optimizer.lr": 1.0}, "metrics": {}, "status": "pending"},
    ]
    path = plots.report(write_sweep(tmp_path, points, status="failed", best=choice({"optimizer.lr": 0.1}, 0.5)))
    page = Page(path)
    assert "1 of 3 done" in page.text and "What went wrong 001 diverged loss is NaN at step 3" in page.text
    assert '<tr class="failed">' in path.read_text(encoding="utf-8")


def test_a_folder_outside_the_sweep_is_not_linked(tmp_path: Path) -> None:
    write_sweep(tmp_path / "sweep", [{"overrides": {"a.b": 1}, "metrics": {"val.mse": 1.0}, "folder": "../elsewhere"}])
    assert Page(plots.report(tmp_path / "sweep")).values("href") == []


def run_command(folder: Path) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.main(parser.parse_args([str(folder)]))


def test_command_draws_again_and_prints_the_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path)
    plots.draw(tmp_path)
    (tmp_path / "plots" / "fit.png").write_bytes(b"old")
    assert run_command(tmp_path) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'report.html'}\n"
    assert (tmp_path / "plots" / "fit.png").read_bytes()[:4] == b"\x89PNG"


def test_command_on_the_folder_of_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = a_run(tmp_path / "name" / "20260101T000000Z-1a2b3c")
    assert run_command(tmp_path / "name") == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"


def test_command_on_another_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="neither a run nor a sweep") as caught:
        run_command(tmp_path)
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []
