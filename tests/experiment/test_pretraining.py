"""A net that has filled in hidden tokens of a text tells other texts apart, from few labels."""

from pathlib import Path

import numpy as np
import pytest

from dlcourse.cli import main
from dlcourse.experiment import load_run, run

WORDS = ["counsel", "softly", "uncle", "gentle", "winter", "merchant", "morning", "trouble", "sister", "soldier"]


def config(folder: Path, **more) -> dict:
    draw = np.random.default_rng(0)
    (folder / "text.txt").write_text(" ".join(draw.choice(WORDS, 3000)))
    data = {"path": str(folder / "text.txt"), "context": 16, "split": {"test": 0.1}}
    given = {
        "name": "masked", "device": "cpu", "data": {"name": "text", **data},
        "model": {"name": "masked_lm", "layers": 1, "heads": 2, "width": 32}, "optimizer": {"name": "adam", "lr": 5e-3},
        "train": {"steps": 300, "batch_size": 32, "evaluate": ["test"]},
    }  # fmt: skip
    return {**given, **more}


def test_a_classifier_begins_with_what_filling_in_taught(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    first = run(config(tmp_path), out=tmp_path, plots=False, quiet=True)
    assert first.metrics["test"]["loss"] < 1.5  # guessing by the letters' shares: 2.7
    judge = config(tmp_path, name="typos", loss="cross_entropy", metrics=["accuracy"])
    judge["data"] = {**judge["data"], "name": "typos", "limit": {"train": 40}}
    judge["model"] = {**judge["model"], "name": "text_classifier"}
    judge["train"] = {"steps": 60, "batch_size": 20, "init_from": str(first.folder), "reinit": ["head"]}
    found = run(judge, out=tmp_path, quiet=True)
    log = (found.folder / "log.txt").read_text()
    assert "new: head.weight (2, 32), head.bias (2,)" in log and "other tokens" not in log
    assert "not used, as the model has no such: bias (" in log
    assert found.metrics["train"]["accuracy"] > 0.9
    trained = load_run(found.folder)
    assert trained.inputs.vocab_size == len(set("".join(WORDS))) + 1
    assert main(["predict", str(found.folder), "soldier winter", "slodier"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["explain", str(found.folder), "--text", "slodier"]) == 0
    wrong = {
        ("predict", "x" * 16): "has no character 'x'",
        ("predict", "uncle " * 3): "18 tokens, expected a text of 1 to 16",
        ("sample", "uncle"): "only a model of a text can go on with one",
    }
    for (command, text), message in wrong.items():
        assert main([command, str(found.folder), text]) == 2
        assert message in capsys.readouterr().err
    for command in ("predict", "sample"):
        assert main([command, str(first.folder), "uncle"]) == 2
        assert "fills in hidden tokens" in capsys.readouterr().err
    (tmp_path / "text.txt").write_text((tmp_path / "text.txt").read_text().replace("w", "q"))
    other = run({**judge, "train": {**judge["train"], "steps": 1}}, out=tmp_path, plots=False, quiet=True)
    assert "was trained with other tokens: " in (other.folder / "log.txt").read_text()


def test_masked_tokens_resume_as_if_they_had_not_stopped(tmp_path: Path) -> None:
    whole = run(config(tmp_path, train={"steps": 12}), out=tmp_path, plots=False, quiet=True)
    half = run(config(tmp_path, train={"steps": 6}), out=tmp_path, plots=False, quiet=True)
    rest = run(half.folder / "config.yaml", overrides={"train.steps": 12}, resume=half.folder, plots=False, quiet=True)
    assert rest.metrics == whole.metrics
