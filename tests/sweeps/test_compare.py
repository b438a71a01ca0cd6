import csv
import io
import json

import pytest
import yaml

from dlcourse.cli import main
from dlcourse.errors import UserError
from dlcourse.experiment.identity import config_hash
from dlcourse.records.sweep import PointState, SweepState
from dlcourse.sweeps import compare, comparison
from dlcourse.sweeps.folder import SweepFolder
from dlcourse.text import flatten
from dlcourse.training.folder import RunFolder

BASE = {"name": "x", "seed": 0, "data": {"name": "polynomial_curve"}, "model": {"name": "polynomial", "degree": 3}}


def make_run(path, degree=3, val=None, status="done", seed=0):
    config = {**BASE, "seed": seed, "model": {"name": "polynomial", "degree": degree}}
    with RunFolder.making(path) as made:
        made.config.write_text(yaml.safe_dump(config, sort_keys=False))
        made.write_environment({})
    run = RunFolder(path)
    if status is not None:
        run.write_result({"status": status, "metrics": {"val": {"mse": val}} if val is not None else {}})
    return run


def make_sweep(path, states):
    points = []
    for degree, status in enumerate(states, start=1):
        point = PointState(f"{degree - 1:03d}-degree={degree}", {"model.degree": degree}, status=status)
        if status != "pending":
            point.folder = f"points/{point.id}"
            make_run(path / "points" / point.id, degree, val=1.0 / degree, status=status)
            point.metrics = {"val.mse": 1.0 / degree}
        points.append(point)
    state = SweepState(
        name="x",
        config={**BASE, "sweep": {"grid": {"model.degree": [1, 2, 3]}}},
        axes=[],
        metrics=["mse"],
        select={"metric": "mse", "split": "val", "higher_is_better": False},
        points=points,
    )
    SweepFolder(path).write(state)


def test_runs_beside_each_other(tmp_path):
    make_run(tmp_path / "x" / "a", degree=3, val=0.5)
    make_run(tmp_path / "x" / "b", degree=5, val=0.25)
    make_run(tmp_path / "x" / "c", degree=5, status="failed", seed=1)
    make_run(tmp_path / "x" / "d", degree=5, status=None)
    records = compare.collect([tmp_path / "x" / name for name in "abcd"])
    assert comparison.as_text(records, 80).splitlines() == [
        "                                 mse",
        "  run  status      seed  degree   val",
        "  a    done        0     3        0.5",
        "  b    done        0     5       0.25",
        "  c    failed      1     5          -",
        "  d    unfinished  0     5          -",
    ]


def test_parents_and_sweeps_are_opened(tmp_path):
    make_run(tmp_path / "runs" / "x" / "lone", degree=7, val=0.1)
    make_sweep(tmp_path / "runs" / "y" / "sweep", ["done", "diverged", "pending"])
    (tmp_path / "runs" / "notes").mkdir()
    records = compare.collect([tmp_path / "runs"])
    assert [(record.label, record.status, record.config["model.degree"]) for record in records] == [
        ("x/lone", "done", 7),
        ("y/sweep/000-degree=1", "done", 1),
        ("y/sweep/001-degree=2", "diverged", 2),
        ("y/sweep/002-degree=3", "pending", 3),
    ]
    twice = compare.collect([tmp_path / "runs", tmp_path / "runs" / "y" / "sweep"])
    assert len(twice) == len(records)


def test_few_runs_that_differ_in_much_stand_in_columns(tmp_path):
    make_run(tmp_path / "a", degree=3, val=0.5)
    make_run(tmp_path / "b", degree=5, val=0.25, seed=4)
    text = comparison.as_text(compare.collect([tmp_path / "a", tmp_path / "b"]), width=26)
    assert text.splitlines() == [
        "              a     b",
        "  status   done  done",
        "  seed        0     4",
        "  degree      3     5",
        "  mse val   0.5  0.25",
    ]


def test_names_and_lists_of_metrics_are_no_difference():
    configs = [{"name": each, "metrics": [each], "seed": 1} for each in "ab"]
    assert compare.differences([*configs, {**configs[0], "seed": 2}]) == ["seed"]


def test_more_columns_than_fit_stand_in_blocks(tmp_path):
    for name in "abcde":
        make_run(tmp_path / name, val=0.5, seed=ord(name))
    lines = comparison.as_text(compare.collect([tmp_path]), width=20).splitlines()
    assert [line.split() for line in lines if "run" in line] == [["run", "status", "seed"], ["run", "val"]]
    assert sum(line.split()[:1] == ["c"] for line in lines) == 2 and "mse" in lines[7]


def test_sort_best_first_missing_last(tmp_path):
    for name, value in (("a", 0.5), ("b", None), ("c", 0.25)):
        make_run(tmp_path / name, val=value)
    records = compare.collect([tmp_path])
    assert [record.label for record in compare.sorted_by(records, "mse")] == ["c", "a", "b"]
    assert [record.label for record in compare.sorted_by(records, "val.mse")] == ["c", "a", "b"]
    with pytest.raises(UserError, match=r"no run has that metric \(did you mean 'mse'\?\); there are: val.mse"):
        compare.sorted_by(records, "msee")


def test_csv(tmp_path):
    make_run(tmp_path / "a", degree=3, val=1 / 3)
    make_run(tmp_path / "b", degree=5, val=0.25)
    rows = list(csv.reader(io.StringIO(comparison.as_csv(compare.collect([tmp_path])))))
    assert rows[0] == ["run", "status", "model.degree", "val.mse"]
    assert rows[1] == ["a", "done", "3", repr(1 / 3)]


def test_csv_to_standard_output_is_all_that_is_printed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, degree in (("a", 1), ("b", 2)):
        make_run(tmp_path / "runs" / name, degree, val=degree / 3)
    assert main(["compare", "runs", "--csv", "-"]) == 0
    assert (
        capsys.readouterr().out
        == "run,status,model.degree,val.mse\na,done,1,0.3333333333333333\nb,done,2,0.6666666666666666\n"
    )
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("target", [".", "/", "runs"])
def test_csv_to_a_folder_is_refused(tmp_path, capsys, monkeypatch, target):
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "runs/a")
    assert main(["compare", "runs", "--csv", target]) == 1
    assert f"cannot write {target}: Is a directory" in capsys.readouterr().err


def test_types_count_as_differences():
    assert compare.differences([{"a": 1, "b": 2, "name": "x"}, {"a": 1.0, "b": 2, "name": "y"}]) == ["a"]
    assert compare.differences([{"a": 1}, {}]) == ["a"]


def test_overrides_replace_what_lies_beneath():
    flat = flatten({"model": {"name": "mlp", "hidden": [4]}, "seed": 0})
    assert compare.overlaid(flat, {"model": {"name": "linear"}}) == {"model.name": "linear", "seed": 0}


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        compare.collect([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="holds no run and no sweep"):
        compare.collect([tmp_path])
    run = make_run(tmp_path / "a")
    run.config.write_text("a: [")
    with pytest.raises(UserError, match="damaged") as caught:
        compare.collect([tmp_path / "a"])
    assert str(caught.value).count("config.yaml") == 1


DAMAGE = {
    "result.json": [b"", b"{", b"[]", b'{"status": "done", "metrics": {"val": [1]}}', b'{"status": 3}', b"[" * 50_000],
    "config.yaml": [b"a: [", b"\xff\xfe\x00", b"- 1", b"a: " + b"[" * 50_000, None],
}


@pytest.mark.parametrize(("name", "content"), [(name, each) for name, them in DAMAGE.items() for each in them])
def test_one_damaged_run_is_named_and_the_others_are_shown(tmp_path, capsys, name, content):
    make_run(tmp_path / "a", degree=3, val=0.5)
    make_run(tmp_path / "b", degree=5, val=0.25)
    make_run(tmp_path / "c", degree=7, val=0.75)
    path = tmp_path / "b" / name
    path.unlink() if content is None else path.write_bytes(content)
    assert main(["compare", str(tmp_path), "--sort", "mse", "--csv", str(tmp_path / "t.csv")]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()[2:]] == [
        ["a", "done", "3"],
        ["c", "done", "7"],
        ["b", "damaged", "-"],
    ]
    assert f"b is damaged: {path}: " in err and err.count("\n") == 2
    rows = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text())))
    assert [row["status"] for row in rows] == ["done", "done", "damaged"]


def test_a_damaged_sweep_and_a_damaged_point_are_named(tmp_path, capsys):
    make_sweep(tmp_path / "one", ["done", "done"])
    make_sweep(tmp_path / "two", ["done", "done"])
    (tmp_path / "one/points/001-degree=2/result.json").write_text("[")
    state = tmp_path / "two/sweep.json"
    state.write_text(state.read_text().replace('"id": "000-degree=1"', '"id": 3'))
    assert main(["compare", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    statuses = [line.split()[1] for line in out.splitlines()[2:]]
    assert statuses == ["done", "damaged", "damaged", "done"]  # the other point of the damaged sweep.json is shown
    assert "one/001-degree=2 is damaged" in err and "sweep.json: damaged: points.0.id: expected text, got 3" in err


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("points", {}, "points: expected a list"),
        ("config", 3, "config: expected a mapping"),
        ("points", None, "a list"),
    ],
)
def test_a_sweep_without_its_points_is_damaged_as_a_whole(tmp_path, capsys, key, value, message):
    make_sweep(tmp_path / "one", ["done", "done"])
    make_sweep(tmp_path / "two", ["done", "done"])
    state = tmp_path / "two/sweep.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), key: value}))
    assert main(["compare", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines()[2:]] == ["done", "done", "damaged"]
    assert "two is damaged" in err and message in err


def test_what_the_table_does_not_need_of_a_sweep_may_be_damaged(tmp_path, capsys):
    make_sweep(tmp_path / "one", ["done", "done"])
    state = tmp_path / "one/sweep.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "groups": 3, "points": [*json_points(state), 5]}))
    assert main(["compare", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines()[2:]] == ["done", "done", "damaged"]
    assert "002 is damaged" in err and "points.2: expected a mapping, got 5" in err


def json_points(path):
    return json.loads(path.read_text())["points"]


def test_a_config_that_was_changed_after_the_run_is_named(tmp_path, capsys):
    config = {**BASE, "model": {"name": "polynomial", "degree": 4}}
    run = make_run(tmp_path / "a", degree=4)
    make_run(tmp_path / "b", degree=5)
    run.write_result({"status": "done", "config_hash": config_hash(config)})
    assert [record.status for record in compare.collect([tmp_path])] == ["done", "done"]
    run.config.write_text(run.config.read_text().replace("degree: 4", "degree: 2"))
    assert main(["compare", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["changed", "done"]
    assert f"{run.config}: was changed after the run" in err
