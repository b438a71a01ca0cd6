"""``dlcourse predict`` of several inputs, folders and tables, as it is typed."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dlcourse as dl
from dlcourse.cli import main
from dlcourse.experiment import load_run

COMMON = {"device": "cpu", "optimizer": {"name": "adam", "lr": 0.05}, "train": {"epochs": 4}}


@pytest.fixture(scope="module")
def flats(tmp_path_factory) -> Path:
    """A run of a classifier of flats by area and city."""
    place = tmp_path_factory.mktemp("flats")
    rows = [f"{20 + 3 * i},{('Delhi', 'Goa', 'Pune')[i % 3]},{'no' if i < 30 else 'yes'}" for i in range(60)]
    (place / "flats.csv").write_text("\n".join(["area,city,good", *rows]))
    data = {"name": "csv", "path": str(place / "flats.csv"), "features": ["area", "city"], "target": "good"}
    config = {**COMMON, "data": {**data, "normalize": "standardize"}, "model": "softmax", "loss": "cross_entropy"}
    return dl.run(config, out=place / "runs", quiet=True, plots=False).folder


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.csv").write_text("id,area,city\n1,50,Delhi\n2,60,Paris\n3,,Goa\n4,big,Pune\n\n5,170,Goa\n")
    return tmp_path


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_one_input_is_one_line_and_several_have_their_names(flats, here, capsys):
    assert main(["predict", str(flats), "50,Delhi"]) == 0
    alone = capsys.readouterr().out
    assert alone.startswith("no (probability ") and alone.count("\n") == 1
    assert main(["predict", str(flats), "50,Delhi", "170,Goa"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"50,Delhi: {alone.strip()}" and second.startswith("170,Goa: yes (probability ")


def test_what_is_wrong_with_a_row_is_said_in_its_place(flats, here, capsys):
    assert main(["predict", str(flats), "new.csv"]) == 2
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 5 and lines[0].startswith("no (") and lines[4].startswith("yes (")
    assert lines[1].startswith("no answer: row 3: column 'city' has 'Paris', which the data to train with never had")
    assert lines[2].startswith("no answer: row 4: column 'area' has a missing cell")
    assert lines[3] == "no answer: row 5: column 'area' has 'big' where a number is expected"
    assert "3 of 5 rows have no answer" in err


def test_a_table_with_a_probability_for_each_class(flats, here, capsys):
    assert main(["predict", str(flats), "new.csv", "--out", "predictions.csv"]) == 2
    assert "predictions.csv: 2 predictions" in capsys.readouterr().out
    rows = table((here / "predictions.csv").read_text())
    assert list(rows[0]) == ["input", "row", "prediction", "probability_no", "probability_yes", "problem"]
    assert [row["row"] for row in rows] == ["2", "3", "4", "5", "7"]
    trained = load_run(flats)
    x = trained.inputs.read("50,Delhi")
    expected = trained.model.confidences(trained.predict(x))[0]
    assert [float(rows[0][f"probability_{name}"]) for name in ("no", "yes")] == pytest.approx(expected.tolist())
    assert rows[1]["prediction"] == "" and "Paris" in rows[1]["problem"]
    assert main(["predict", str(flats), "50,Delhi", "170,Goa", "--out", "-", "--top", "1"]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "input,row,class_1,probability_1"
    assert [row["class_1"] for row in table(out)] == ["no", "yes"]


def test_a_folder_of_tables(flats, here, capsys):
    (here / "all" / "deep").mkdir(parents=True)
    (here / "all" / "b.csv").write_text("city,area\nPune,100\n")
    (here / "all" / "deep" / "a.csv").write_text("area,city\n10,Goa\n11,Goa\n")
    (here / "all" / "c.csv").write_text("city\nPune\n")
    (here / "all" / "notes.doc").write_text("x")
    assert main(["predict", str(flats), "all", "50,Pune"]) == 2
    out, err = capsys.readouterr()
    names = [line.split(": ")[0] for line in out.splitlines()]
    assert names == ["all/b.csv, row 2", "all/c.csv", "all/deep/a.csv, row 2", "all/deep/a.csv, row 3", "50,Pune"]
    assert "all/c.csv: no answer: " in out and "has no column 'area'" in out
    assert "area = 10 lies outside" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["50,Delhi", "--top", "0"], "expected a number of classes of at least 1"),
        (["50,Delhi", "--out", "x.txt"], "give a name that ends in .csv"),
        (["50,Delhi", "--out", "missing/x.csv"], "there is no folder missing"),
        (["new.csv", "--out", "new.csv"], "is an input, which the predictions would replace"),
        (["nowhere.csv"], "no such file"),
        (["50"], "expected 2 values: area, city (Delhi|Goa|Pune)"),
        (["."], None),
        (["empty"], "holds no file that the model takes (.csv, .npz, .tsv)"),
    ],
)
def test_wrong_arguments(flats, here, capsys, arguments, message):
    (here / "empty").mkdir()
    before = (here / "new.csv").read_text()
    assert main(["predict", str(flats), *arguments]) == 2
    assert message is None or message in capsys.readouterr().err
    assert (here / "new.csv").read_text() == before


def test_a_regression_writes_its_target_and_its_spread(here, capsys):
    config = {
        "device": "cpu",
        "data": {"name": "westwood_rent"},
        "model": "gaussian_regression",
        "optimizer": "closed_form",
        "loss": "gaussian_nll",
    }
    run = str(dl.run(config, out=here, quiet=True, plots=False).folder)
    assert main(["predict", run, "800", "900", "--out", "-"]) == 0
    out = capsys.readouterr().out
    name = load_run(run).inputs.target_name
    rows = table(out)
    assert list(rows[0]) == ["input", "row", name, f"{name}_sd"] and float(rows[1][name]) > float(rows[0][name])
    assert main(["predict", run, "800", "--top", "2"]) == 2
    assert "it knows no classes" in capsys.readouterr().err


def test_a_folder_of_images_with_a_damaged_one(here, capsys):
    rng = np.random.default_rng(0)
    for index in range(24):
        folder = here / "data" / ("dark", "light")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 60, (8, 8, 3), dtype=np.uint8) + 180 * (index % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    data = {"name": "image_folder", "path": "data", "normalize": "standardize"}
    config = {**COMMON, "data": data, "model": "softmax", "loss": "cross_entropy"}
    run = str(dl.run(config, quiet=True, plots=False).folder)
    (here / "data" / "dark" / "damaged.png").write_bytes(b"\x89PNG nothing")
    (here / "data" / "dark" / "readme.txt").write_text("x")
    assert main(["predict", run, "data", "--out", "p.csv"]) == 2
    rows = table((here / "p.csv").read_text())
    assert len(rows) == 25 and [row["input"] for row in rows] == sorted(row["input"] for row in rows)
    for row in rows:
        if "damaged" in row["input"]:
            assert row["problem"] and not row["prediction"]
        else:
            assert row["prediction"] == Path(row["input"]).parent.name


def test_a_text_takes_several_but_writes_no_table(here, capsys):
    (here / "t.txt").write_text("to be or not to be " * 40)
    config = {
        **COMMON,
        "data": {"name": "text", "path": "t.txt", "context": 8},
        "model": {"name": "char_rnn", "hidden": 4},
        "loss": "cross_entropy",
        "train": {"steps": 2},
    }
    run = str(dl.run(config, quiet=True, plots=False).folder)
    assert main(["predict", run, "to ", "be ", "--length", "3"]) == 0
    assert capsys.readouterr().out.startswith("to ")
    assert main(["predict", run, "to ", "--out", "x.csv"]) == 2
    assert "this one continues texts" in capsys.readouterr().err


def test_several_targets_have_a_column_each_whatever_their_names(here, capsys):
    (here / "d.csv").write_text("x,row,b\n" + "".join(f"{i},{2 * i},{3 * i + 1}\n" for i in range(30)))
    config = {
        "device": "cpu",
        "precision": "float64",
        "data": {"name": "csv", "path": "d.csv", "features": ["x"], "target": ["row", "b"]},
        "model": "linear",
        "optimizer": "least_squares",
        "loss": "mse",
    }
    run = str(dl.run(config, quiet=True, plots=False).folder)
    assert main(["predict", run, "7", "--out", "-"]) == 0
    (row,) = table(capsys.readouterr().out)
    assert list(row) == ["input", "row", "predicted_row", "b"]
    assert float(row["predicted_row"]) == pytest.approx(14) and float(row["b"]) == pytest.approx(22)
