"""Side files of a run that are damaged: a whole checkpoint can always be gone on from, and nothing is a traceback."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dlcourse.cli import main
from dlcourse.errors import CheckpointError
from dlcourse.experiment import load_run, run
from dlcourse.training.checkpoints.file_format import read
from tests.checkpoint_bytes import encode

from .samples import NET, changed, lines, same_run


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = changed(NET, optimizer={"schedule": None}, train={"epochs": 4, "checkpoint_every": 5, "log_every": 1})
    return run(config, out=tmp_path_factory.mktemp("whole"), plots=False, quiet=True, overrides={"seed": 3}).folder


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


DAMAGE = [b"", b"[]", b"{", b"\xff\xfe", b"null", b"7", b"[" * 50_000, b'"' + b"x" * 100]


@pytest.mark.parametrize("content", [*DAMAGE[:4], b'{"status": []}', b'{"status": "done", "metrics": [1]}'])
def test_with_a_damaged_result_the_run_is_finished_again_and_writes_a_new_one(copy: Path, whole: Path, content, capsys):
    result = copy / "result.json"
    result.write_bytes(content)
    for arguments in (["evaluate", str(copy)], ["predict", str(copy), "0.1,0.2"]):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"dlcourse: error: {result}: damaged: ") and error.count("\n") == 1, error
        assert "--checkpoint last or best" in error
        assert main([*arguments, "--checkpoint", "last"]) == 0
        capsys.readouterr()
    assert main(["report", str(copy)]) in (0, 2)
    capsys.readouterr()
    assert main(["run", "--resume", str(copy), "--no-plots"]) == 0
    assert f"{result}: damaged: " in capsys.readouterr().out
    same_run(whole, copy)


@pytest.mark.parametrize("content", [*DAMAGE[4:], b'{"plugins": [1]}', b'{"command": 1}'])
def test_with_a_damaged_environment_all_goes_on(copy: Path, content, capsys) -> None:
    (copy / "environment.json").write_bytes(content)
    for arguments in (["evaluate", str(copy)], ["predict", str(copy), "0.1,0.2"]):
        assert main(arguments) == 0
        assert f"note: {copy / 'environment.json'}: damaged: " in capsys.readouterr().err
    assert main(["run", "--resume", str(copy), "--no-plots", "train.epochs=5"]) == 0
    assert f"{copy / 'environment.json'}: damaged: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: content.replace(b'"train"', b'"tr\xffin"', 2),
        lambda content: content.replace(b"\n", b" ", 3),
        lambda content: content.replace(b'"step": 3', b'"step": []', 1),
        lambda content: content.replace(b'"event"', b"\n", 2),
        lambda content: b"[1]\nnull\n" + content,
    ],
    ids=["cut", "emptied", "garbled", "joined", "wrong type", "broken", "lines more"],
)
def test_with_a_damaged_history_the_whole_checkpoint_is_gone_on_from(copy: Path, whole: Path, damage, capsys) -> None:
    log = copy / "metrics.jsonl"
    log.write_bytes(damage(log.read_bytes()))
    assert main(["evaluate", str(copy)]) == 0
    capsys.readouterr()
    assert main(["run", "--resume", str(copy), "--no-plots", "train.epochs=5"]) == 0
    out = capsys.readouterr().out
    assert f"{log}: " in out and "are damaged or missing and are dropped" in out
    saved = lines(copy)
    assert [line["step"] for line in saved] == sorted(line["step"] for line in saved)
    assert saved[-1]["event"] == "final" and saved[-1]["epoch"] == 5
    known = [json.dumps(line) for line in lines(whole)]
    assert all(json.dumps(line) in known for line in saved if line["step"] < 20), "what is kept is what was"


STATE = ["step", "seed", "config", "data", "train_step", "callbacks"]


@pytest.mark.parametrize("key", STATE)
@pytest.mark.parametrize("value", [[], None, {"a": [1]}], ids=str)
def test_a_checkpoint_whose_hash_is_right_and_whose_state_is_not(copy: Path, key: str, value, capsys) -> None:
    last = copy / "checkpoints/last.safetensors"
    found = read(last)
    last.write_bytes(encode(found.arrays, {**found.state, key: value}))
    for arguments in (["evaluate", str(copy)], ["run", "--resume", str(copy), "--no-plots", "train.epochs=5"]):
        code = main(arguments)
        out, error = capsys.readouterr()
        assert "Traceback" not in error and code in (0, 2), error
        if code == 2:
            assert str(last) in error or f"{copy}/config.yaml" in error, error


@pytest.mark.parametrize("wrong", [None, np.zeros(5), np.zeros((2, 2)), np.zeros(2, dtype=np.int8)], ids=str)
def test_a_checkpoint_whose_normalizer_does_not_fit(copy: Path, wrong) -> None:
    last = copy / "checkpoints/last.safetensors"
    found = read(last)
    arrays = {name: array for name, array in found.arrays.items() if name != "normalizer.scale"}
    last.write_bytes(encode(arrays if wrong is None else {**arrays, "normalizer.scale": wrong}, found.state))
    with pytest.raises(CheckpointError, match=r"last.safetensors: normalizer.scale is .*expected floating point"):
        load_run(copy, which="last")
