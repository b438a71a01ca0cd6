"""Curves of several runs in one figure; plots as svg and pdf."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dlcourse as dl
from dlcourse import plots
from dlcourse.cli import main
from dlcourse.errors import UserError
from dlcourse.plots import gallery
from dlcourse.plots.figures.loss import Loss
from dlcourse.plots.gallery import images
from dlcourse.plots.several import Line, mean_curve
from dlcourse.sweeps import run_sweep

CONFIG = {
    "name": "spirals",
    "device": "cpu",
    "data": {"name": "spirals", "samples": 60, "split": {"train": 0.6, "val": 0.2, "test": 0.2}},
    "model": {"name": "mlp", "hidden": [4]},
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "lr": 0.01},
    "metrics": ["accuracy"],
    "train": {"epochs": 4, "log_every": 1},
    "sweep": {"grid": {"optimizer.lr": [0.01, 0.1]}, "seeds": 2},
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    return run_sweep(CONFIG, out=tmp_path_factory.mktemp("sweep"), plots=False, quiet=True).folder


def test_a_mean_curve_is_of_the_steps_that_all_have():
    curves = [(np.array([1.0, 2, 4]), np.array([1.0, 2, 3])), (np.array([2.0, 3, 4]), np.array([4.0, 9, 5]))]
    steps, mean, spread = mean_curve(curves)
    assert steps.tolist() == [2, 4] and mean.tolist() == [3, 4]
    assert spread == pytest.approx([np.sqrt(2), np.sqrt(2)])


@pytest.mark.parametrize("name", ["curves.png", "curves.svg", "curves.pdf"])
def test_compare_draws_the_runs_by_the_ending(sweep, tmp_path, capsys, name):
    path = tmp_path / name
    assert main(["compare", str(sweep), "--plot", str(path), "--dpi", "60"]) == 0
    content = path.read_bytes()
    assert content.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[path.suffix])
    assert main(["compare", str(sweep), "--plot", str(path), "--dpi", "60"]) == 0
    assert path.read_bytes() == content
    if name.endswith("png"):
        with Image.open(path) as image:
            assert image.info["dpi"][0] == pytest.approx(60, abs=0.1)
            assert image.text["Title"].startswith("lr=0.") and "one standard deviation" in image.text["Description"]


def test_lines_are_means_over_seeds_or_each_run(sweep, tmp_path, capsys):
    files = {}
    for option in ("--average", "--no-average"):
        files[option] = tmp_path / f"{option}.svg"
        assert main(["compare", str(sweep), option, "--plot", str(files[option]), "--columns", "lr,val.accuracy"]) == 0
    line = Line("x", tuple(sorted((sweep / "points").iterdir()))[:2])
    steps, mean, spread = mean_curve(line.curves("val.accuracy"))
    assert len(steps) == 4 and (spread >= 0).all() and line.per_epoch == 2
    assert files["--average"].read_bytes() != files["--no-average"].read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--plot", "x.gif"], "expected a name that ends in .png, .svg, .pdf"),
        (["--plot", "x.png", "--dpi", "0"], "expected 20 to 1200"),
        (["--plot", "x.png", "--columns", "test.accuracy"], "no run has a curve of test.accuracy"),
    ],
)
def test_mistakes(sweep, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", str(sweep), *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_report_with_drawings_for_a_paper(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(gallery, "plots", lambda: (Loss(),))  # one stands for all
    folder = dl.run({**CONFIG, "sweep": None}, out=tmp_path, quiet=True, plots=False).folder
    assert main(["report", str(folder), "--format", "svg", "--format", "pdf", "--dpi", "75"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == str(folder / "report.html") and str(folder / "plots" / "loss.pdf") in out
    for png in (folder / "plots").glob("*.png"):
        assert png.with_suffix(".svg").is_file() and png.with_suffix(".pdf").is_file()
    first = (folder / "plots" / "loss.svg").read_bytes()
    assert b"<dc:date>" not in first
    small = {each.path.name: (each.width, each.height) for each in images(folder)}
    with Image.open(folder / "plots" / "loss.png") as image:
        assert small["loss.png"][0] == pytest.approx(2 * image.width, abs=3)  # sizes are those at 150 dpi
    assert main(["report", str(folder), str(folder)]) == 0
    assert capsys.readouterr().out.splitlines().count(str(folder / "report.html")) == 2
    # What is there is drawn again: no older drawing stays beside a newer png.
    (folder / "plots" / "loss.svg").write_bytes(b"old")
    plots.draw(folder)
    assert (folder / "plots" / "loss.svg").read_bytes()[:5] == b"<?xml"
    (folder / "metrics.jsonl").write_text(json.dumps({"event": "train", "step": 1, "loss": 1.0}) + "\n")
    plots.draw(folder)
    assert not list((folder / "plots").glob("loss.*"))


def test_no_such_format(tmp_path, capsys):
    with pytest.raises(UserError, match="expected svg or pdf"):
        plots.draw(tmp_path, ["eps"])
    assert main(["report", str(tmp_path), "--dpi", "5000"]) == 2
    assert "dpi 5000: expected 20 to 1200" in capsys.readouterr().err
