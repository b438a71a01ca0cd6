"""The encoder-decoder: what its equations say, what padding changes (nothing), and how a run answers texts."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import optim
from dlcourse.autograd import Tensor, no_grad
from dlcourse.cli import main
from dlcourse.errors import ConfigError, ShapeError, UserError
from dlcourse.experiment import evaluate_run
from dlcourse.models import Seq2Seq
from dlcourse.special_tokens import BOS, EOS, PAD
from dlcourse.training.step import TrainStep

VOCABULARY = 8
X = np.array([[3, 4, 5, 6], [7, 3, PAD, PAD], [5, 5, 6, PAD]])
Y = np.array([[6, 5, 4, 3, EOS], [3, 7, EOS, PAD, PAD], [6, 5, 5, EOS, PAD]])
KINDS = [("gru", "additive"), ("lstm", "dot"), ("gru", "none")]


def made(kind: str = "gru", attention: str = "additive", **more: Any) -> Seq2Seq:
    model = Seq2Seq((4,), VOCABULARY, kind, hidden=5, embedding=3, attention=attention, **more)
    rng = np.random.default_rng(1)
    for parameter in model.parameters():
        parameter.data[...] = dl.tensor(rng.normal(size=parameter.shape) * 0.7).data
    model.adapt(X, Y)
    return model.eval()


def here(x: np.ndarray) -> Any:
    return dl.tensor(x).data


@pytest.mark.parametrize(("kind", "attention"), KINDS)
def test_padding_changes_nothing(kind: str, attention: str, device: str) -> None:
    model, x, y = made(kind, attention), here(X), here(Y)
    wide_x, wide_y = (here(np.pad(each, ((0, 0), (0, 3)))) for each in (X, Y))
    with no_grad():
        plain, wide = (model.objective_values(Tensor(a), b, 0) for a, b in ((x, y), (wide_x, wide_y)))
        alone = [model.objective(Tensor(x[i : i + 1]), y[i : i + 1], 0).item() for i in range(3)]
        one = model(here(X[1:2, :2])).numpy()
    assert wide["loss"].item() == pytest.approx(plain["loss"].item(), rel=1e-5)
    assert wide["sequence_accuracy"].item() == plain["sequence_accuracy"].item()
    assert np.mean(alone) == pytest.approx(plain["loss"].item(), rel=1e-5)
    np.testing.assert_allclose(model(x).numpy()[1:2], one, atol=1e-5)


@pytest.mark.parametrize(("kind", "attention"), KINDS)
def test_its_gradient_is_that_of_differences(kind: str, attention: str) -> None:
    model = made(kind, attention).to(dtype="float64")
    model.objective(Tensor(X), Y, 0).backward()
    for name, parameter in model.named_parameters():
        found = parameter.grad.numpy()
        place = np.unravel_index(abs(found).argmax(), found.shape)
        with no_grad():
            ends = []
            for shift in (1e-5, -2e-5):
                parameter.data[place] += shift
                ends.append(model.objective(Tensor(X), Y, 0).item())
            parameter.data[place] += 1e-5
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(found[place], rel=1e-5), name


def test_weights_look_at_what_was_read_and_add_up_to_one(device: str) -> None:
    for attention in ("additive", "dot"):
        answers, weights = made(attention=attention).attend(here(X))
        answers, weights = dl.tensor(answers).numpy(), dl.tensor(weights).numpy()
        assert answers.shape == (3, 5) and weights.shape == (3, 5, 4)
        np.testing.assert_allclose(weights.sum(axis=2), 1, atol=1e-6)
        assert (weights[1, :, 2:] == 0).all() and (weights[0] > 0).all()


def test_additive_attention_is_the_papers() -> None:
    attention = made().attention
    state, read = (
        np.random.default_rng(i).normal(size=shape).astype("f") for i, shape in ((0, (2, 5)), (1, (2, 4, 10)))
    )
    hidden = np.array([[False] * 4, [False, False, True, True]])
    v, w, u = (layer.weight.numpy() for layer in (attention.score, attention.query, attention.key))
    scores = np.tanh((state @ w.T)[:, None] + read @ u.T + attention.key.bias.numpy()) @ v[0]
    odds = np.where(hidden, 0, np.exp(scores))
    found = attention(Tensor(state), attention.key(Tensor(read)), hidden).numpy()
    np.testing.assert_allclose(found, odds / odds.sum(axis=1, keepdims=True), rtol=1e-5)


def test_an_answer_is_written_with_its_own_tokens_and_learned_with_the_true_ones() -> None:
    model = made()
    with no_grad():
        written, _ = model.attend(X)
        before = np.concatenate([np.full((3, 1), BOS), written[:, :-1]], axis=1)
        features = [each for each, _ in model._steps(X, before.T)]
        forced = np.stack([model.head(each).numpy() for each in features], axis=1)
    np.testing.assert_allclose(model(X).numpy(), forced, atol=1e-6)


@pytest.mark.filterwarnings("error::dlcourse.backend.cuda.graph.NotCaptured")
@pytest.mark.parametrize(("precision", "kind"), [("float32", "gru"), ("float16", "lstm"), ("bfloat16", "gru")])
def test_it_learns_three_answers_by_heart(precision: str, kind: str, device: str) -> None:
    model = Seq2Seq((4,), VOCABULARY, kind, hidden=16, embedding=8, dropout=0.1)
    model.adapt(X, Y)
    model.to(dtype=precision)
    step = TrainStep(model, None, optim.Adam(model.parameters(), lr=0.04), clip_norm=1.0)
    for _ in range(32):
        step(X, Y)
    with no_grad():
        found = model.eval().objective_values(Tensor(here(X)), here(Y), 0)
    assert found["sequence_accuracy"].item() == 1 and found["loss"].item() < 1


def test_an_input_is_a_sequence() -> None:
    with pytest.raises(ShapeError, match="seq2seq: an input is a sequence of tokens"):
        Seq2Seq((4, 2), VOCABULARY)
    with pytest.raises(ShapeError, match="GRU: lengths are from 1"):
        made()(np.array([[PAD, PAD], [3, PAD]]))


CONFIG: dict[str, Any] = {
    "name": "backwards",
    "seed": 1,
    "device": "cpu",
    "data": {"name": "reversed_strings", "samples": 260, "letters": 3, "min_length": 1, "max_length": 6,
             "split": {"val": 30, "test": 30}},
    "model": {"name": "seq2seq", "hidden": 16, "embedding": 8},
    "optimizer": {"name": "adam", "lr": 0.02},
    "train": {"steps": 24, "batch_size": 50, "eval_every": 2, "best": {"metric": "sequence_accuracy", "split": "val"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return dl.run(CONFIG, out=tmp_path_factory.mktemp("backwards"), quiet=True, plots=False)


def test_a_run_measures_draws_and_goes_on_exactly(learned: Any, tmp_path: Path) -> None:
    found = learned.metrics["test"]
    assert set(found) == {"loss", "sequence_accuracy"} and 0 <= found["sequence_accuracy"] <= 1
    assert evaluate_run(dl.load_run(learned.folder), "test") == {"test": found}
    with np.load(learned.folder / "explain" / "attention.npz") as picture:
        assert picture["map_5"].sum(axis=1) == pytest.approx(1)
    half = dl.run(CONFIG, overrides={"train.steps": 11}, out=tmp_path, quiet=True, plots=False)
    again = dl.run(CONFIG, overrides={"train.steps": 24}, resume=half.folder, quiet=True, plots=False)
    for name, array in learned.model.state_dict().items():
        np.testing.assert_array_equal(array, again.model.state_dict()[name])


def test_it_learns_a_batch_by_heart(capsys: pytest.CaptureFixture) -> None:
    few = {"train.batch_size": 4, "data.samples": 70, "optimizer.lr": 0.05}
    found = dl.run(CONFIG, overfit_batch=True, overrides=few)
    assert re.search(
        r"memorized the first batch \(4 samples\): .* ([0-9]+) of \1 labels right", capsys.readouterr().out
    )
    assert found.metrics["train"]["sequence_accuracy"] == 1


def test_a_run_as_onnx_answers_padded_inputs(learned: Any, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    assert main(["export", str(learned.folder), "--to", str(tmp_path / "x.onnx")]) == 0
    assert "input (batch, steps) -> output (batch, 7, " in capsys.readouterr().out
    found = runtime.InferenceSession(str(tmp_path / "x.onnx")).run(None, {"input": X % 6})[0]
    np.testing.assert_allclose(found, learned.model.eval()(X % 6).numpy(), atol=1e-5)


def test_a_run_answers_texts(learned: Any, capsys: pytest.CaptureFixture) -> None:
    folder = str(learned.folder)
    assert main(["predict", folder, "abc", "b", "aabbcc"]) == 0
    answers = capsys.readouterr().out.splitlines()
    trained = dl.load_run(folder)
    assert trained.answer(["abc", "b", "aabbcc"]) == answers and trained.answer([]) == []
    with pytest.raises(UserError, match="expected a list of texts"):
        trained.answer("abc")
    with pytest.raises(UserError, match=r"answers texts: run.answer"):
        trained.predict(X)
    assert len(answers) == 3 and all(set(answer) <= set("abc") or "<" in answer for answer in answers)
    assert main(["explain", folder, "--text", "abc", "--text", "cb"]) == 0
    assert "attention.png" in capsys.readouterr().out
    refused = {
        ("predict", "xyz"): "no character 'x'",
        ("predict", ""): "give one character at least",
        ("predict", "abc", "--length", "4"): "--length is for models that continue a text",
        ("predict", "abc", "--out", "answers.csv"): "--out and --top are for models of numbers",
        ("sample",): "dlcourse predict",
        ("explain", "--images", "3"): "--images is for models of images",
        ("explain", "--text", "abcabcabc"): "the model reads 6 tokens, got 9",
        ("explain", "--split", "none"): "--split none: there is none",
    }
    for (command, *rest), message in refused.items():
        assert main([command, folder, *rest]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "gpt"}, "gpt does not answer sequences by others, as these data want it; take seq2seq"),
        ({"loss": "cross_entropy"}, "the model seq2seq has an objective of its own"),
        ({"data": {"name": "spirals"}}, "seq2seq looks up the tokens of a text"),
        ({"model": {"name": "seq2seq", "attention": "bilinear"}}, "attention"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict, message: str, tmp_path: Path) -> None:
    settings = CONFIG | changes | ({"loss": "cross_entropy"} if changes.get("model") == "gpt" else {})
    settings["train"] = {"steps": 1}
    with pytest.raises(ConfigError, match=message):
        dl.run(settings, out=tmp_path, quiet=True)


def test_a_text_gives_no_pairs(tmp_path: Path) -> None:
    (tmp_path / "verse.txt").write_text("the quick brown fox " * 40)
    data = {"name": "text", "path": str(tmp_path / "verse.txt"), "context": 8, "split": {"val": 0.2}}
    with pytest.raises(ConfigError, match="seq2seq learns pairs of sequences"):
        dl.run(CONFIG | {"data": data, "train": {"steps": 1}}, out=tmp_path, quiet=True)
