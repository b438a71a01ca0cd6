"""``sweep.seeds`` and the tables of ``dlcourse compare``, as they are typed."""

import csv
import io
import json
import re
import shutil

import numpy as np
import pytest
import yaml

import dlcourse as dl
from dlcourse.cli import main
from dlcourse.sweeps import compare, comparison, run_sweep
from dlcourse.sweeps.formats import latex, markdown
from dlcourse.sweeps.table import Column
from tests.sweeps.conftest import CONFIG

SEEDS = {"grid": {"model.degree": [1, 3]}, "seeds": 3}


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A folder with a sweep over two degrees and three seeds, run from the command line."""
    folder = tmp_path_factory.mktemp("seeds")
    (folder / "small.yaml").write_text(yaml.safe_dump({**CONFIG, "seed": 4, "sweep": SEEDS}))
    out = ["--out", str(folder / "runs"), "--no-plots", "--quiet"]
    assert main(["sweep", str(folder / "small.yaml"), *out]) == 0
    return folder


@pytest.fixture
def sweep(ready, tmp_path, monkeypatch):
    """The sweep's folder; the tests begin in the folder that holds its config and ``runs``."""
    shutil.copytree(ready, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    (folder,) = (tmp_path / "runs" / "small").iterdir()
    return folder


def values_of(folder, degree, key="val.mse"):
    points = json.loads((folder / "sweep.json").read_text())["points"]
    assert [point["overrides"]["seed"] for point in points] == [4, 5, 6] * 2
    return np.array([point["metrics"][key] for point in points if point["overrides"]["model.degree"] == degree])


def test_seeds_are_averaged_in_the_sweeps_table_and_choose_the_best_by_mean(sweep):
    state = json.loads((sweep / "sweep.json").read_text())
    rows = list(csv.DictReader(io.StringIO((sweep / "groups.csv").read_text())))
    for row, degree in zip(rows, (1, 3), strict=True):
        values = values_of(sweep, degree)
        assert float(row["val.mse.mean"]) == pytest.approx(values.mean())
        assert float(row["val.mse.sd"]) == pytest.approx(values.std(ddof=1))
        assert float(row["val.mse.se"]) == pytest.approx(values.std(ddof=1) / np.sqrt(3))
        assert row["val.mse.n"] == "3"
    assert state["best"]["overrides"] == {"model.degree": 3}
    assert state["best"]["value"] == pytest.approx(values_of(sweep, 3).mean())
    assert "over 3 seeds; standard deviations in groups.csv" in (sweep / "log.txt").read_text()


def test_a_seed_is_that_of_a_run_by_itself(make, sweep):
    alone = dl.run(make(sweep=None), overrides={"seed": 5, "model.degree": 3}, out="alone", quiet=True, plots=False)
    assert alone.metrics["val"]["mse"] == values_of(sweep, 3)[1]


def test_stacked_seeds_have_the_same_means(make, sweep):
    found = run_sweep(make(seed=4, sweep=SEEDS), out="again", plots=False, quiet=True, stack=True)
    means = [group["mean"]["val.mse"] for group in found.groups]
    assert means == pytest.approx([values_of(sweep, degree).mean() for degree in (1, 3)])


def test_a_list_of_seeds_with_folds(make, tmp_path):
    config = make(sweep={"seeds": [7, 1], "kfold": 3})
    found = run_sweep(config, out=tmp_path, plots=False, quiet=True)
    assert [point.overrides["seed"] for point in found.points] == [7, 7, 7, 1, 1, 1]
    assert [group["n"]["val.mse"] for group in found.groups] == [6]


def test_a_sweep_with_seeds_is_resumed_though_its_file_knows_no_newer_key(sweep, capsys):
    state = json.loads((sweep / "sweep.json").read_text())
    del state["config"]["sweep"]["kfold"]  # as if that had come later
    state["points"][1]["status"] = "pending"
    (sweep / "sweep.json").write_text(json.dumps(state))
    assert main(["sweep", "--resume", str(sweep), "--no-plots"]) == 0
    assert "finished already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        ("1", "sweep.seeds: expected a whole number of at least 2 or a list, got 1"),
        ("x", "sweep.seeds: expected a whole number or a list, got 'x'"),
        ("[3,3]", "sweep.seeds: lists 3 twice"),
        ("[3,-1]", "at least 0, got -1"),
        ("3 sweep.grid.seed=[1,2]", "seed is varied by grid already"),
    ],
)
def test_wrong_seeds(sweep, capsys, seeds, message):
    assert main(["sweep", "small.yaml", "--dry-run", *f"sweep.seeds={seeds}".split()]) == 2
    assert message in capsys.readouterr().err


def test_compare_averages_the_seeds(sweep, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # of the terminal, so that no table is cut into blocks
    assert main(["compare", "runs", "--columns", "degree,n,val.mse"]) == 0
    text = capsys.readouterr().out
    assert [line.split() for line in text.splitlines()[1:2]] == [["degree", "n", "val", "mean", "±", "sd", "se"]]
    values = values_of(sweep, 3)
    assert f"{values.mean():.4g} ± {values.std(ddof=1):.2g}" in text.splitlines()[3]
    assert main(["compare", "runs", "--no-average"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 6
    assert main(["compare", "runs", "--columns", "seed"]) == 2
    assert "--no-average" in capsys.readouterr().err


def test_tables_by_their_endings_say_the_same(sweep, tmp_path, capsys):
    files = [argument for name in ("t.tex", "t.md", "t.csv") for argument in ("--to", name)]
    assert main(["compare", "runs", "--sort", "val.mse", "--columns", "model.degree,n,val.mse", *files]) == 0
    values = {degree: values_of(sweep, degree) for degree in (1, 3)}
    (first, second) = csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text()))
    assert (first["model.degree"], second["model.degree"]) == ("3", "1")  # the best first, by mean
    assert float(first["val.mse.sd"]) == pytest.approx(values[3].std(ddof=1))
    assert first["val.mse.n"] == "3"
    mean, sd = values[3].mean(), values[3].std(ddof=1)
    se = sd / np.sqrt(3)
    row = f"| 3 | 3 | {mean:.4g} ± {sd:.2g} | {se:.2g} |"
    assert (tmp_path / "t.md").read_text().splitlines()[2] == row
    tex = (tmp_path / "t.tex").read_text()
    assert r"\multicolumn{2}{c}{mse} \\" in tex and r"\cmidrule(lr){3-4}" in tex
    assert r"degree & n & val mean $\pm$ sd & se \\" in tex and tex.endswith("\\bottomrule\n\\end{tabular}\n")
    body = tex[tex.index("\\midrule") :].splitlines()[1]
    numbers = re.sub(r"\$?\\times10\^\{(-?\d+)\}\$|\$", lambda m: f"e{m[1]}" if m[1] else "", body)
    assert [float(x) for x in re.findall(r"[\d.]+(?:e-?\d+)?", numbers.replace(r"\pm", " "))] == pytest.approx(
        [3, 3, mean, sd, se], rel=0.05
    )


def test_lone_runs_of_several_seeds_are_averaged_where_asked(make, tmp_path):
    for seed in (0, 1, 1):
        dl.run(make(sweep=None, seed=seed), out=tmp_path, quiet=True, plots=False)
    records = compare.collect([tmp_path])
    assert [each.runs for each in compare.averaged(records)] == [1, 1, 1]
    assert sorted(each.runs for each in compare.averaged(records, True)) == [1, 2]  # the same seed is no further draw


def test_a_table_of_folds_says_that_they_can_be_averaged(make, tmp_path, capsys):
    folder = run_sweep(make(sweep={"kfold": 3}), out=tmp_path / "runs", plots=False, quiet=True).folder
    table = tmp_path / "t.csv"
    assert main(["compare", str(folder), "--to", str(table)]) == 0
    message = capsys.readouterr()
    assert "--average makes one line of them" in message.err and f"wrote {table}" in message.err
    assert len(table.read_text().splitlines()) == 1 + 3
    assert main(["compare", str(folder), "--to", str(table), "--average"]) == 0
    (row,) = csv.DictReader(io.StringIO(table.read_text()))
    assert row["val.mse.n"] == "3" and capsys.readouterr().err == f"wrote {table}\n"
    seeds = run_sweep(make(sweep={"seeds": 2}), out=tmp_path / "seeds", plots=False, quiet=True).folder
    assert main(["compare", str(seeds), "--to", str(table)]) == 0  # averaged as it is
    assert "--average" not in capsys.readouterr().err


def test_text_is_escaped():
    assert latex([Column("lr", ["1e-05", "relu"], left=True)]).splitlines()[5:7] == [r"$1\times10^{-5}$ \\", r"relu \\"]
    columns = [Column("a_b", ["50% & $x^2$ \\ {~} #1 | <b>", "-"], left=True), Column("m", ["-1.2e-07", "inf ± 2e+10"])]
    tex = latex(columns).splitlines()
    assert tex[3] == r"a\_b & m \\"
    assert tex[5] == (
        r"50\% \& \$x\textasciicircum{}2\$ \textbackslash{} \{\textasciitilde{}\} \#1 \textbar{} "
        r"\textless{}b\textgreater{} & $-1.2\times10^{-7}$ \\"
    )
    assert tex[6] == r"-- & $\infty$ $\pm$ $2\times10^{10}$ \\"
    rows = markdown(columns).splitlines()
    assert rows[0] == r"| a\_b | m |" and rows[2].startswith(r"| 50% & \$x^2\$ \\ \{\~\} \#1 \| \<b\> |")
    assert markdown([Column("a", ["x\ny\x1b"])]).splitlines()[2] == r"| x y\\x1b |"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "x.xlsx"], "expected a name that ends in .csv, .md, .tex, or - to print CSV"),
        (["--to", "x"], "expected a name that ends in"),
        (["--columns", "degre"], "did you mean 'degree'?"),
        (["--columns", "run,,n"], "expected names with commas between"),
        (["--columns", "name"], None),
        (["--columns", "train,val"], None),
        (["--columns", "split.val"], None),
    ],
)
def test_wrong_options_of_compare(sweep, capsys, options, message):
    assert main(["compare", "runs", *options]) == (0 if message is None else 2)
    assert message is None or message in capsys.readouterr().err


def test_columns_of_facts_and_of_every_split(sweep):
    records = compare.averaged(compare.collect([sweep]))
    shown = comparison.fields(records, ["r2", "parameters", "seconds", "status"])
    assert [field.key for field in shown[:3]] == ["train.r2", "val.r2", "test.r2"]
    table = comparison.columns(records, shown)
    assert table[6].cells == ["2", "4"] and table[-1].cells == ["done", "done"]
