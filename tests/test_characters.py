"""What a terminal would obey is shown instead, wherever it comes from."""

import io
import os
import sys

import pytest

from dlcourse import cli
from dlcourse.characters import VisibleStream, visible
from dlcourse.training.log import Log


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nGröße 日本 🙂", "plain\ttext\nGröße 日本 🙂"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\x07\x00\x7f", "a\\x0db\\x07\\x00\\x7f"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("abc\u202edef\u2066\u2028", "abc\\u202edef\\u2066\\u2028"),
        ("caf\udce9 \ud800", "caf\\xe9 \\ud800"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown == visible(visible(text))
    shown.encode()


def test_a_stream_shows_everything_but_the_return_of_a_progress_bar() -> None:
    inner = io.StringIO()
    stream = VisibleStream(inner)
    print("\rbar 10 %\r \x1b[A", file=stream)
    stream.writelines(["\x1b", "\n"])
    assert inner.getvalue() == "\rbar 10 %\\x0d \\x1b[A\n\\x1b\n"
    assert stream.isatty() is False


def test_a_log_has_one_line_for_one_line(tmp_path, capsys) -> None:
    Log(tmp_path / "log.txt", quiet=False)("class \x1b[2J\x85\u2028 a\nb")
    lines = (tmp_path / "log.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["class \\x1b[2J\\x85\\u2028 a", "b"]
    assert capsys.readouterr().out == "class \\x1b[2J\\x85\\u2028 a\nb\n"


CONFIG = """
device: cpu
data: {name: csv, path: d.csv, target: c, split: {val: 0.2, test: 0.2}}
model: softmax
loss: cross_entropy
optimizer: {name: sgd, lr: 0.1}
metrics: [accuracy]
"""


def test_names_of_a_file_never_reach_the_terminal(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{i % 5},{'AB'[i % 2]}\x1b[31m" for i in range(40)]
    (tmp_path / "d.csv").write_text("\n".join(["\x1b]0;owned\x07,b,c", *rows]), encoding="utf-8")
    (tmp_path / "e.yaml").write_text(CONFIG)
    streams = sys.stdout, sys.stderr
    assert cli.main(["run", "e.yaml"]) == 0
    (run,) = (tmp_path / "runs" / "e").iterdir()
    commands = [
        ["predict", str(run), "1,2"],
        ["predict", str(run), "d.csv"],
        ["predict", str(run), "\x1b,2"],
        ["evaluate", str(run)],
        ["data", "info", "csv", "path=d.csv", "target=c", "--no-image"],
        ["run", "e.yaml", "data.target=\x1b]0;x"],
        ["run", "\x1b.yaml"],
        ["compare", str(run), "--sort", "\x1b"],
        ["nothing\x1b"],
        ["run", "--\x1b"],
    ]
    for arguments in commands:
        assert cli.main(arguments) in (0, 2)
    captured = capsys.readouterr()
    everything = captured.out + captured.err + (run / "log.txt").read_text() + (run / "report.html").read_text()
    assert "\x1b" not in everything and "\x07" not in everything
    assert "A\\x1b[31m (probability" in captured.out
    assert (sys.stdout, sys.stderr) == streams


BYTES = os.fsdecode(b"caf\xe9")  # no UTF-8


def test_files_and_folders_may_have_names_that_are_not_utf_8(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{i},{i % 5},{'AB'[i % 2]}" for i in range(40)]
    for name in ("d.csv", f"{BYTES}.csv"):
        (tmp_path / name).write_text("\n".join(["a,b,c", *rows]))
    (tmp_path / f"{BYTES}.yaml").write_text(CONFIG)
    assert cli.main(["run", f"{BYTES}.yaml", "--out", BYTES]) == 0
    (run,) = (tmp_path / BYTES / "caf-").iterdir()
    place = os.path.relpath(run)
    for arguments in (
        ["validate", f"{BYTES}.yaml"],
        ["evaluate", place],
        ["predict", place, f"{BYTES}.csv"],
        ["report", place],
        ["compare", place, "--csv", f"{BYTES}-table.csv"],
        ["run", "--resume", place, "train.epochs=2"],
        ["export", place, "--to", f"{BYTES}.npz"],
        ["sweep", f"{BYTES}.yaml", "sweep.grid.seed=[0,1]", "--out", BYTES, "--no-plots"],
    ):
        assert cli.main(arguments) == 0, arguments
    assert "caf\\xe9" in capsys.readouterr().out


def test_data_beside_a_config_in_a_folder_whose_name_no_config_holds(tmp_path, monkeypatch, capsys) -> None:
    """The run's own config.yaml could not be read again."""
    monkeypatch.chdir(tmp_path)
    place = tmp_path / BYTES
    place.mkdir()
    (place / "d.csv").write_text("a,b,c\n" + "1,2,A\n2,1,B\n" * 20)
    (place / "e.yaml").write_text(CONFIG)
    assert cli.main(["run", f"{BYTES}/e.yaml"]) == 2
    message = capsys.readouterr().err
    assert "data.path: 'd.csv' lies beside the config" in message and "run from that folder" in message
    assert not (tmp_path / "runs").exists()
    monkeypatch.chdir(place)
    assert cli.main(["run", "e.yaml", "--quiet"]) == 0
    assert cli.main(["evaluate", capsys.readouterr().out.strip()]) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "e.yaml", f"data.path={BYTES}.csv"],
        ["run", "e.yaml", f"{BYTES}=1"],
        ["run", "e.yaml", f"model={BYTES}"],
        ["run", "e.yaml", "--name", BYTES],
        ["run", "e.yaml", "--plugin", f"{BYTES}.py"],
        ["run", "e.yaml", "--device", BYTES],
        ["run", f"no-{BYTES}.yaml"],
        ["run", "e.yaml", f"sweep.grid.seed=[{BYTES}]"],
        ["data", "info", "csv", f"path={BYTES}.csv", "target=c"],
        ["evaluate", BYTES],
        ["list", BYTES],
        [BYTES],
        ["run", f"--{BYTES}"],
    ],
)
def test_arguments_that_are_not_utf_8_end_in_one_line(arguments, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.yaml").write_text(CONFIG)
    assert cli.main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("dlcourse: error: ") and message.count("\n") == 1
    message.encode()
