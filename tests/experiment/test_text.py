"""Models of a text from end to end: they learn what repeats, and go on with it."""

from pathlib import Path

import numpy as np
import pytest

from dlcourse.autograd import Tensor, no_grad
from dlcourse.cli import main
from dlcourse.errors import UserError
from dlcourse.experiment import evaluate_run, load_run, run
from dlcourse.experiment.generation import continue_text, probabilities
from dlcourse.models import GPT, Model

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
        "train": {"steps": 150, "batch_size": 16, "eval_every": 10, "clip_norm": 1.0, **train},
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
    assert drawn[0] == drawn[1] != drawn[2] and len(drawn[0][0]) == 60
    assert continue_text(trained, "r", 20, 2.0) == [drawn[0][0][:20]]
    several = continue_text(trained, "r", 60, 2.0, count=3)
    assert several[0] == drawn[0][0] and len(set(several)) == 3


def test_a_state_gives_what_the_whole_beginning_gives(learned) -> None:
    """Token by token, with keys and values in a cache or the state of a recurrence, the logits are those of a pass."""
    model = load_run(learned.folder).model.eval()
    tokens = np.random.default_rng(0).integers(0, 20, (3, 16))
    with no_grad():
        whole = model(Tensor(tokens)).numpy()
        state, found = None, []
        for part in (tokens[:, :5], tokens[:, 5:6], tokens[:, 6:9], *np.split(tokens[:, 9:], 7, axis=1)):
            logits, state = model.next_logits(part, state)
            found.append(logits.numpy())
    ends = [4, 5, 8, *range(9, 16)]
    np.testing.assert_allclose(np.stack(found, axis=1), whole[:, ends], atol=2e-5)


def test_a_text_goes_on_beyond_the_context(learned) -> None:
    """A GPT begins its cache anew with the last half of the context, so its answer is that to so many tokens."""
    model = load_run(learned.folder).model.eval()
    tokens = np.random.default_rng(0).integers(0, 20, (1, 40))
    with no_grad():
        state = None
        for place in range(40):
            logits, state = model.next_logits(tokens[:, place : place + 1], state)
        if isinstance(model, GPT):
            assert 8 <= state[1].shape[1] <= 16
            np.testing.assert_allclose(logits.numpy(), model(Tensor(state[1])).numpy()[:, -1], atol=2e-5)
    model_without_state = Model.next_logits(model, tokens)[0]
    np.testing.assert_allclose(model_without_state.numpy(), model(Tensor(tokens[:, -16:])).numpy()[:, -1], atol=2e-5)


def test_top_k_and_top_p() -> None:
    """Of the probabilities 0.5, 0.3, 0.15, 0.05."""
    odds = np.array([0.05, 0.5, 0.15, 0.3])
    logits = np.log(odds)[None]
    np.testing.assert_allclose(probabilities(logits)[0], odds)
    np.testing.assert_allclose(probabilities(logits, top_k=2)[0], [0, 0.625, 0, 0.375])
    np.testing.assert_allclose(probabilities(logits, top_p=0.81)[0], np.array([0, 0.5, 0.15, 0.3]) / 0.95)
    np.testing.assert_allclose(probabilities(logits, top_p=0.01)[0], [0, 1, 0, 0])
    np.testing.assert_allclose(probabilities(logits, 0)[0], [0, 1, 0, 0])
    np.testing.assert_allclose(probabilities(logits, 0.5)[0], odds**2 / (odds**2).sum())


def test_samples_of_a_text(learned, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    run_folder = str(learned.folder)
    assert main(["sample", run_folder, "the", "--count", "2", "--length", "20", "--top-k", "3", "--top-p", "0.9"]) == 0
    first, second = capsys.readouterr().out[:-1].split("\n---\n")
    assert first.startswith("the") and second.startswith("the") and len(first) == len(second) == 23
    assert main(["sample", run_folder, "--length", "30", "--out", str(tmp_path / "text.txt")]) == 0
    assert len((tmp_path / "text.txt").read_text()) == 31
    for wrong, message in (
        (["--top-k", "0"], "top_k is at least 1, got 0"),
        (["--top-p", "2"], "top_p is above 0 and at most 1, got 2"),
        (["--count", "0"], "count is at least 1, got 0"),
        (["--temperature", "-1"], "temperature is at least 0, got -1"),
        (["7"], "has no character '7'"),
        (["--out", "a.png"], "--out a.png: this model writes texts"),
        (["--out", "missing/a.txt"], "--out missing/a.txt: there is no folder missing"),
    ):
        assert main(["sample", run_folder, *wrong]) == 2
        assert message in capsys.readouterr().err


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


def test_tokens_of_several_characters(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """Found in the training split, kept in checkpoints; what a character costs is comparable."""
    given = verses(tmp_path, "gpt", steps=60, batch_size=32)
    given["data"] |= {"tokenizer": "bpe", "vocab_size": 280, "context": 8}
    given["metrics"] = ["cross_entropy", "nats_per_character", "bits_per_character", "bits_per_byte"]
    found = run(given, out=tmp_path, plots=False, quiet=True)
    trained, values = load_run(found.folder), found.metrics["val"]
    assert trained.inputs.tokenizer is not None and "az" in trained.inputs.tokenizer.names[256:]
    assert 0 < values["nats_per_character"] * 1.5 < values["cross_entropy"]
    assert values["bits_per_character"] == values["bits_per_byte"]
    assert values["bits_per_byte"] == pytest.approx(values["nats_per_character"] / np.log(2))
    assert evaluate_run(trained, "val") == {"val": values}
    assert main(["sample", str(found.folder), "a lazy dög", "--length", "12", "--temperature", "0"]) == 0
    written = capsys.readouterr().out
    assert written.startswith("a lazy dög") and len(written) > 30
    given["train"]["steps"] = 30
    half = run(given, out=tmp_path, plots=False, quiet=True)
    rest = run(half.folder / "config.yaml", overrides={"train.steps": 60}, resume=half.folder, plots=False, quiet=True)
    assert rest.metrics == found.metrics


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
    assert [sample] == continue_text(load_run(found.folder), "\n", 200)
    (kept,) = (found.folder / "samples").iterdir()
    assert kept.name == "step-2.txt" and kept.read_text() == sample + "\n"
    report = (found.folder / "report.html").read_text()
    assert "A text of the model" in report and "Its texts while it was trained" in report
    assert not (
        run(verses(tmp_path, "gpt", steps=2), out=tmp_path, quiet=True, plots=False).folder / "sample.txt"
    ).exists()
