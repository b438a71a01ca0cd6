"""Files: where a problem stands, what a damaged file says, and that a resolved config runs again as it is."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as hypothesis_given
from hypothesis import strategies as st

from dlcourse import cli, config
from dlcourse.config.reader import MAX_BYTES
from dlcourse.errors import ConfigError, Problem
from tests.config.test_writer import same

VALID = """\
# What it shows.
#   How to run it.

# Not part of the header.
name: trial
data:
  name: t_cloud
  samples: 50
model: {name: t_net, hidden: [8]}
loss: t_cost
optimizer:
  name: t_descent
  lr: 1e-3
metrics:
- t_distance
sweep: {grid: {model.dropout: [0, 0.1]}}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "trial.yaml"
    path.write_text(VALID, encoding="utf-8")
    return path


def test_load(file: Path) -> None:
    loaded = config.load(file)
    assert loaded.data["optimizer"]["lr"] == 0.001
    assert loaded.path == file
    assert loaded.text == VALID
    assert loaded.description == "What it shows.\nHow to run it."


def test_the_name_defaults_to_the_files(file: Path) -> None:
    file.write_text(VALID.replace("name: trial\n", ""))
    assert config.load(file).data["name"] == "trial"
    other = file.rename(file.with_name(".my trial (2).yaml"))
    assert config.load(other).data["name"] == "my-trial-2-"
    assert config.load(other, ["name=mine"]).data["name"] == "mine"


def test_windows_line_ends_and_byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode())
    assert config.load(file).data == config.from_mapping(config.load(file).given).data
    assert config.load(file).description == "What it shows.\nHow to run it."


def test_each_problem_has_its_line(file: Path) -> None:
    file.write_text(
        VALID.replace("samples", "sampels")
        .replace("hidden: [8]", "hidden: [8, 0]")
        .replace("lr: 1e-3", "lr: -1\n  momentun: 3")
        .replace("- t_distance", "- t_distance\n- {name: t_distance, order: x}")
        .replace("[0, 0.1]", "[0, 2]")
    )
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert [(problem.line, problem.path) for problem in caught.value.problems] == [
        (8, "data.sampels"),
        (9, "model.hidden.1"),
        (13, "optimizer.lr"),
        (14, "optimizer.momentun"),
        (17, "metrics.1.order"),
        (18, "sweep.grid.model.dropout.1"),
    ]
    assert str(caught.value).startswith(f"{file}:8: data.sampels: unknown key of data t_cloud (did you mean 'samples'?")


def test_a_missing_key_stands_where_its_section_does(file: Path) -> None:
    file.write_text(VALID.replace("  lr: 1e-3\n", ""))
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert str(caught.value) == f"{file}:11: optimizer.lr: required, but missing"


def test_lines_of_what_others_find_later(file: Path) -> None:
    error = config.load(file, ["seed=3"]).locate(
        ConfigError([Problem(path, "no") for path in ("data.samples", "model.hidden.0", "seed", "x.y")])
    )
    assert str(error).splitlines() == [
        f"{file}:8: data.samples: no",
        f"{file}:9: model.hidden.0: no",
        "command line: seed: no",
        f"{file}:5: x.y: no",
    ]


def test_values_from_the_command_line_have_no_line(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        config.load(file, ["data.samples=0", "optimizer.schedule.name=t_rmp", "model.hidden=0"])
    assert [str(problem).split(" ", 3)[:3] for problem in caught.value.problems] == [
        ["command", "line:", "data.samples:"],
        ["command", "line:", "model.hidden.0:"],
        ["command", "line:", "optimizer.schedule.name:"],
    ]


def damaged(tmp_path: Path) -> dict[str, tuple[Path, str]]:
    """Every kind of file that is no config, and how the one line about it begins."""
    contents = {
        "empty": (b"", "{}: empty; `dlcourse init` copies"),
        "blank": (b" \n\n", "{}: empty; `dlcourse init` copies"),
        "comments": (b"# only\n# comments\n", "{}: only comments; `dlcourse init` copies"),
        "marker": (b"---\n", "{}: only comments; `dlcourse init` copies"),
        "list": (b"- a\n- b\n", "{}: expected a mapping with the sections data, model, ..., got ['a', 'b']"),
        "scalar": (b"hello", "{}: expected a mapping with the sections data, model, ..., got 'hello'"),
        "tabs": (b"data:\n\tname: x\n", "{}:2: a tab; YAML indents with spaces"),
        "latin": (b"name: x\ndata: caf\xe9\n", "{}:2: not UTF-8 (byte 0xe9); save the file as UTF-8"),
        "utf16": ("name: x".encode("utf-16"), "{}:1: not UTF-8 (byte 0xff); save the file as UTF-8"),
        "two": (b"name: a\n---\nname: b\n", "{}:2: a second document starts here"),
        "twice": (b"name: a\nseed: 1\nname: b\n", "{}:3: name: duplicate key; the first is in line 1"),
        "tag": (b"name: !!python/name:os.system\n", "{}:1: name: tag !!python/name:os.system: a config has no tags"),
        "anchor": (b"name: &a x\n", "{}:1: name: anchor &a: a config has no anchors"),
        "deep": (b"a: " + b"[" * 2000, "{}:1: "),
        "digits": (b"seed: " + b"9" * 5000, "{}:1: seed: a number of 5000 characters"),
        "infinite": (b"seed: .inf", "{}:1: seed: .inf is not a finite number"),
        "binary": (bytes(range(256)), "{}:"),
        "large": (b"#" * (MAX_BYTES + 1), "{}: larger than 1 MiB, which no config is"),
    }
    made = {}
    for name, (content, message) in contents.items():
        path = tmp_path / f"{name}.yaml"
        path.write_bytes(content)
        made[name] = path, message.format(path)
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    return made | {
        "folder": (tmp_path, f"{tmp_path}: is a folder; name a file in it, such as {tmp_path / 'anchor.yaml'}"),
        "missing": (tmp_path / "empyt.yaml", f"{tmp_path / 'empyt.yaml'}: no such file; did you mean "),
        "endless": (Path("/dev/zero"), "/dev/zero: larger than 1 MiB"),
        "loop": (loop, f"{loop}: cannot be read: "),
        "long": (tmp_path / ("x" * 300), f"{tmp_path / ('x' * 300)}: cannot be read: File name too long"),
    }


def test_files_that_are_no_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = damaged(tmp_path)
    for name, (path, message) in cases.items():
        if name == "endless" and os.name != "posix":
            continue
        with pytest.raises(ConfigError) as caught:
            config.load(path)
        assert str(caught.value).startswith(message), name
        assert len(str(caught.value).splitlines()) == 1, name
        assert cli.main(["show", str(path)]) == 2
        printed = capsys.readouterr()
        assert printed.err.startswith(f"dlcourse: error: {message}"), name
        assert printed.err.count("\n") == 1, name
        assert printed.out == ""
    assert len(cases) == 23


def test_a_missing_file_names_what_was_meant(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=f"no such file; did you mean {file}\\?"):
        config.load(file.with_suffix(".yml"))
    shipped = config.shipped()[0]
    monkeypatch.chdir(file.parent)
    with pytest.raises(ConfigError, match=f"dlcourse init {shipped.with_suffix('')}"):
        config.load(f"nowhere/{shipped.stem[:-1]}.yaml")
    with pytest.raises(ConfigError, match="no such file; `dlcourse list configs` shows"):
        config.load("nowhere/zzzzzzzzzz.yaml")


def test_dump_loads_as_the_same_config(file: Path) -> None:
    first = config.load(file, ["optimizer.lr=1e-7", "model.tag=on"])
    file.write_text(first.dump(), encoding="utf-8")
    second = config.load(file)
    assert same(second.data, first.data)
    assert second.description == first.description
    assert second.dump() == first.dump()


NUMBERS = st.floats(min_value=5e-324, allow_nan=False, allow_infinity=False)


@hypothesis_given(
    lr=NUMBERS,
    momentum=st.floats(allow_nan=False, allow_infinity=False),
    hidden=st.lists(st.integers(1, 10**12), max_size=4),
    tag=st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    center=st.tuples(NUMBERS, st.integers(-(10**9), 10**9)),
    name=st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", fullmatch=True),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(file: Path, **values: Any) -> None:
    """Dumped and loaded, a config is the same to the last bit, names and texts that look like numbers included."""
    sections = {"lr": "optimizer", "momentum": "optimizer", "hidden": "model", "tag": "model", "center": "data"}
    overrides = {f"{sections[key]}.{key}" if key in sections else key: value for key, value in values.items()}
    first = config.load(file, overrides)
    again = file.with_name("again.yaml")
    again.write_text(first.dump(), encoding="utf-8")
    assert same(config.load(again).data, first.data)


@pytest.mark.parametrize(
    ("old", "new", "place", "messages"),
    [
        ("target:", "tar\u200bget:", "data.tar\u200bget", "U+200B ZERO WIDTH SPACE; did you mean 'target'"),
        ("model:", "\u00a0model:", "\u00a0model", "U+00A0 NO-BREAK SPACE; did you mean 'model'"),
        ("model:", "m\u043edel:", "m\u043edel", "U+043E CYRILLIC SMALL LETTER O; did you mean 'model'"),
        ("linear", "linear\u00a0", "model.name", "U+00A0 NO-BREAK SPACE; did you mean 'linear'"),
        ("ridge: 5", "ridge: 5\u00a0", "optimizer.ridge", "U+00A0 NO-BREAK SPACE; type it anew"),
        ("method: qr", "method: qr\ufeff", "optimizer.method", "U+FEFF ZERO WIDTH NO-BREAK SPACE; did you mean 'qr'"),
    ],
)
def test_characters_that_cannot_be_seen_are_named(
    tmp_path: Path, old: str, new: str, place: str, messages: str
) -> None:
    text = "data: {name: csv, path: flats.csv, target: rent}\nmodel: linear\nloss: half_sse\n"
    text += "optimizer: {name: least_squares, ridge: 5, method: qr}\n"
    (tmp_path / "odd.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        config.load(tmp_path / "odd.yaml")
    (problem,) = [problem for problem in raised.value.problems if messages in problem.message]
    assert problem.path == place


def test_figures_of_the_header_are_those_of_the_config_as_it_is(tmp_path: Path, given: dict[str, Any]) -> None:
    file = tmp_path / "trial.yaml"
    file.write_text(
        f"# What it is.\n#   dlcourse run x\n# Shows: accuracy 0.9 after\n# 30 steps.\n{config.dump(given)}"
    )
    assert "Shows: accuracy 0.9 after\n30 steps." in config.load(file).description
    assert "Shows" in config.load(file, ["name=other", "device=cpu"]).dump()
    assert config.load(file, ["seed=3"]).description == "What it is.\ndlcourse run x"
    assert config.load(file, ["train.steps=3"]).description == "What it is.\ndlcourse run x"
    assert "Shows" not in config.load(file, ["seed=3"]).dump()
