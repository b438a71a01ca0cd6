"""Models of a text from end to end: they learn what repeats, and go on with it."""

from pathlib import Path

import numpy as np
import pytest

from dlcourse.cli import main
from dlcourse.errors import UserError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.experiment.predictions import continue_text

from .samples import LINE

VERSE = "the quick brown fox jumps over a lazy dog\n"

MODELS = {
    "gpt": {"name": "gpt", "layers": 2, "heads": 2, "width": 32},
    "lstm": {"name": "char_rnn", "kind": "lstm", "hidden": 48, "embedding": 16},
}


def verses(path: Path, model: str, **train) -> dict:
    (path / "verses.txt").write_text(VERSE * 60)
    return {
        "name": "verses",
        "device": "cpu",
        "data": {"name": "text", "path": str(path / "verses.txt"), "context": 16, "split": {"val": 0.2}},
        "model": MODELS[model],
        "loss": "cross_entropy",
        "optimizer": {"name": "adamw", "lr": 0.01},
        "metrics": ["cross_entropy", "perplexity", "bits_per_character", "accuracy"],
        "train": {"steps": 150, "batch_size": 16, "clip_norm": 1.0, **train},
    }


@pytest.fixture(scope="module", params=MODELS)
def learned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp(request.param)
    return run(verses(folder, request.param), out=folder, plots=False, quiet=True)


def test_a_repetitive_text_is_learned(learned) -> None:
    found = learned.metrics["val"]
    # Only a window's first characters leave open where in the verse it lies; chance is 3.3 nats.
    assert found["cross_entropy"] < 0.4 and found["accuracy"] > 0.85
    assert found["perplexity"] == pytest.approx(np.exp(found["cross_entropy"]))
    assert found["bits_per_character"] == pytest.approx(found["cross_entropy"] / np.log(2))
    assert evaluate_run(load_run(learned.folder), "val") == {"val": found}
    with np.load(learned.folder / "predictions.npz") as arrays:
        assert arrays["val_y"].shape == arrays["val_output"].shape[:1]
        assert (arrays["val_output"].argmax(axis=1) == arrays["val_y"]).mean() == pytest.approx(found["accuracy"])


def test_a_text_is_continued(learned, capsys: pytest.CaptureFixture) -> None:
    assert main(["predict", str(learned.folder), VERSE, "--length", "40", "--temperature", "0"]) == 0
    assert capsys.readouterr().out == (VERSE * 3)[: len(VERSE) + 40] + "\n"
    trained = load_run(learned.folder)
    drawn = [continue_text(trained, "r", 60, 2.0, seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0]) == 60
    assert continue_text(trained, "r", 20, 2.0) == drawn[0][:20]


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("7", [], "has no character '7'"),
        ("", [], "no text to go on with"),
        ("a", ["--length", "-1"], "at least 0"),
        ("a", ["--temperature", "nan"], "at least 0"),
    ],
)
def test_what_cannot_be_continued(learned, text: str, more: list[str], message: str, capsys) -> None:
    assert main(["predict", str(learned.folder), text, *more]) == 2
    assert message in capsys.readouterr().err


def test_only_a_text_is_continued(tmp_path: Path) -> None:
    line = run(LINE, out=tmp_path, plots=False, quiet=True).folder
    with pytest.raises(UserError, match="only a model of a text"):
        continue_text(load_run(line), "a")


def test_resuming_a_text_ends_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    whole = run(verses(tmp_path, "gpt", steps=24, batch_size=32), out=tmp_path, plots=False, quiet=True)
    half = run(verses(tmp_path, "gpt", steps=12, batch_size=32), out=tmp_path, plots=False, quiet=True)
    rest = run(half.folder / "config.yaml", overrides={"train.steps": 24}, resume=half.folder, plots=False, quiet=True)
    assert rest.metrics == whole.metrics


def test_a_batch_of_text_is_memorized(tmp_path: Path, capsys) -> None:
    from dlcourse import backend, config
    from dlcourse.experiment.sanity_checks import overfit_batch
    from dlcourse.training.log import Log

    (tmp_path / "noise.txt").write_text("".join(np.random.default_rng(0).choice(list("abcdefgh"), 400)))
    given = verses(tmp_path, "gpt", batch_size=1)
    given["data"] |= {"path": str(tmp_path / "noise.txt"), "context": 12}
    with backend.use("cpu") as cpu:
        found = overfit_batch(config.resolve(config.from_mapping(given)), cpu, Log(None, quiet=False))
    assert "\nmemorized the first batch" in "\n" + capsys.readouterr().out
    assert found.metrics["train"]["accuracy"] == 1


def test_a_small_convolutional_net_learns_made_up_images(tmp_path: Path) -> None:
    found = run(
        {
            "name": "images",
            "device": "cpu",
            "data": {
                "name": "synthetic_images", "samples": 600, "classes": 4, "image_size": 12, "channels": 1,
                "noise": 15, "shift": 1, "split": {"val": 0.2}, "stratify": True, "normalize": "standardize",
            },
            "model": {"name": "cnn", "channels": [8], "hidden": [32]},
            "loss": "cross_entropy",
            "optimizer": {"name": "adam", "lr": 3e-3},
            "metrics": ["accuracy"],
            "train": {"epochs": 10, "batch_size": 32},
        },
        out=tmp_path, plots=False, quiet=True,
    )  # fmt: skip
    assert found.metrics["val"]["accuracy"] > 0.9


def test_the_report_shows_a_text_of_the_model(tmp_path: Path) -> None:
    found = run(verses(tmp_path, "gpt", steps=2), out=tmp_path, quiet=True)
    sample = (found.folder / "sample.txt").read_text()
    assert len(sample) == 200 and set(sample) <= set(VERSE)
    assert sample == continue_text(load_run(found.folder), "\n", 200)
    assert "A text of the model" in (found.folder / "report.html").read_text()
    assert not (
        run(verses(tmp_path, "gpt", steps=2), out=tmp_path, quiet=True, plots=False).folder / "sample.txt"
    ).exists()
