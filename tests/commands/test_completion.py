"""Completion, as the shell asks for it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlcourse import cli
from dlcourse.commands.completion import completions


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "spirals" / "20260101T000000Z-1a2b3c"
    run.mkdir(parents=True)
    (run / "result.json").touch()
    (tmp_path / "mine.yaml").touch()
    (tmp_path / "my_model.py").touch()


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("dlcourse ev", "evaluate"),
        ("dlcourse help sw", "sweep"),
        ("dlcourse run mi", "mine.yaml"),
        ("dlcourse run mnist_so", "mnist_softmax"),
        ("dlcourse run 03_classification/mnist_s", "03_classification/mnist_softmax"),
        ("dlcourse run spirals train.ep", "train.epochs="),
        ("dlcourse run spirals model.drop", "model.dropout="),
        ("dlcourse run spirals --quiet model.activation=ge", "model.activation=gelu"),
        ("dlcourse run spirals optimizer=adamw", "optimizer=adamw"),
        ("dlcourse run spirals train.drop_last=t", "train.drop_last=true"),
        ("dlcourse run spirals --device cud", "cuda"),
        ("dlcourse run --res", "--resume"),
        ("dlcourse run --resume ", "runs/spirals/20260101T000000Z-1a2b3c"),
        ("dlcourse report runs/spi", "runs/spirals/20260101T000000Z-1a2b3c"),
        ("dlcourse list tr", "train"),
        ("dlcourse data fe", "fetch"),
        ("dlcourse init --plugin o", "optimizer"),
        ("dlcourse run --plugin my", "my_model.py"),
        ("dlcourse init soft", "softmax_two_layer"),
        ("dlcourse grade s", "softmax_two_layer"),
        ("dlcourse grade softmax_two_layer my", "my_model.py"),
        ("dlcourse check my_", "my_model.py"),
        ("dlcourse graph spir", "spirals"),
        ("dlcourse graph runs/spi", "runs/spirals/20260101T000000Z-1a2b3c"),
        ("dlcourse graph spirals model.hid", "model.hidden="),
        ("dlcourse landscape runs/spi", "runs/spirals/20260101T000000Z-1a2b3c"),
    ],
)
def test_a_word_is_completed(line: str, word: str) -> None:
    assert word in completions(line)


def test_only_keys_of_the_configs_own_components() -> None:
    found = completions("dlcourse run spirals model.")
    assert "model.hidden=" in found and "model.degree=" not in found
    assert "model.degree=" in completions("dlcourse run spirals model=polynomial model.")


@pytest.mark.parametrize(
    "line", ["", "dlcourse", "dlcourse nothing ", "dlcourse run \0 ", "dlcourse run nothing x=", "a b c d"]
)
def test_nothing_is_an_error(line: str) -> None:
    completions(line)


def test_the_shell_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
    assert cli.main(["completion", "bsh"]) == 2
    assert "did you mean 'bash'?" in capsys.readouterr().err


def test_in_bash() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    setting = f"""
        dlcourse() {{ {sys.executable} -m dlcourse "$@"; }}
        source <(dlcourse completion bash)
        compopt() {{ :; }}
        for COMP_LINE in "$@"; do COMP_POINT=${{#COMP_LINE}}; _dlcourse; echo "${{COMPREPLY[@]}}"; done
    """
    lines = ["dlcourse rep", "dlcourse run spirals train.drop_last=t"]
    done = subprocess.run([bash, "-c", setting, "bash", *lines], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "report\ntrue\n"  # Bash has train.drop_last= already
