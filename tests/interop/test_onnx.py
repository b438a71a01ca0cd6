"""Models as ONNX: what onnxruntime gives for each layer and model, for batches and sequences of other sizes."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import models, nn
from dlcourse.autograd import Function, apply
from dlcourse.errors import ArgumentError, ArgumentTypeError, UserError
from dlcourse.interop.trace import sample, trace
from tests.interop.examples import LAYERS, MODELS, NAMES, SEQUENCE, VECTOR, drawn, made

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from dlcourse.interop.onnx import OPSET, Unsayable, export, exports, to_onnx  # noqa: E402

NOT_ALONE = {
    **dict.fromkeys(("Module", "Activation", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"), "no layer"),
    "Sequential": "in many cases",
    "MultiheadAttention": "of three inputs; MultiHeadAttention is it of one",
    **dict.fromkeys(("Bilinear", "CosineSimilarity", "PairwiseDistance"), "of two inputs"),
    **dict.fromkeys(("MaxUnpool1d", "MaxUnpool2d"), "of two inputs"),
    "EmbeddingBag": "its bags are found on the host",
    **dict.fromkeys(("Transformer", "TransformerDecoder", "TransformerDecoderLayer"), "of two inputs"),
}
CHANGES_LENGTH = {"AdaptiveAvgPool1d", "AdaptiveMaxPool1d", "AvgPool1d"}
"""Layers whose operations depend on the number of steps: it is fixed then."""


def test_each_layer_is_tried() -> None:
    kinds = [name for name in nn.__all__ if isinstance(getattr(nn, name), type)]
    layers = {name for name in kinds if issubclass(getattr(nn, name), nn.Module) and not name.endswith("Loss")}
    assert layers - set(NOT_ALONE) - {"Loss"} <= set(LAYERS), "add the layer to tests/interop/examples.py"


def session(proto: Any) -> Any:
    return runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])


def check(running: Any, model: nn.Module, shape: tuple[int, ...], count: int) -> None:
    """The graph's outputs are the model's."""
    x = sample(model, shape, count, seed=7)
    expected, found = trace(model, [x]).outputs, running.run(None, {"input": x})
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs.shape == ours.shape
        np.testing.assert_allclose(theirs, ours.data, rtol=1e-5, atol=1e-5 * max(1, np.abs(ours.data).max()))


@pytest.mark.parametrize("name", [*LAYERS, *NAMES])
def test_the_graph_gives_what_the_model_gives(name: str) -> None:
    make, shape = LAYERS.get(name) or (partial(made, name), None)
    model = drawn(make())
    if reason := getattr(model, "no_onnx", ""):
        with pytest.raises(Unsayable, match=reason):
            to_onnx(model, shape)
        return
    proto = to_onnx(model, shape)
    shape = shape or model.in_shape
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    assert dims[0].dim_param == "batch"
    running = session(proto)
    check(running, model, shape, 1)
    check(running, model, shape, 6)
    tokens = sample(model, shape, 1).dtype.kind == "i"
    if len(shape) == 2 or tokens:
        assert (dims[1].dim_param == "steps") == (name not in CHANGES_LENGTH)
    if dims[1].dim_param:
        for steps in {4, 5, 9} - ({9} if name in ("gpt", "masked_lm", "text_classifier") else set()):
            check(running, model, (steps, *shape[1:]), 2)
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("scan", ["rows", "pixels"])
def test_an_image_that_is_read_as_a_sequence(scan: str) -> None:
    model = drawn(models.GRUModel((5, 4, 2), 3, 6, scan=scan))
    running = session(to_onnx(model))
    for count in (1, 6):
        check(running, model, model.in_shape, count)


def test_an_image_is_turned_no_more_often_than_it_has_to_be() -> None:
    nodes = {name: to_onnx(drawn(MODELS[name]())).graph.node for name in ("resnet", "cnn", "vgg")}
    count = {name: [node.op_type for node in each].count("Transpose") for name, each in nodes.items()}
    assert count["resnet"] == 1  # of the input
    assert count["cnn"] == count["vgg"] == 2  # and in front of the linear layers


def test_names_and_operator_set() -> None:
    proto = to_onnx(drawn(MODELS["mlp"]()), metadata={"class_names": '["a", "b"]'})
    assert [each.version for each in proto.opset_import] == [OPSET]
    assert {"layers.1.weight", "layers.9.bias"} <= {each.name for each in proto.graph.initializer}
    assert {each.key: each.value for each in proto.metadata_props} == {
        "layout": "channels last", "class_names": '["a", "b"]'
    }  # fmt: skip
    assert [each.name for each in (*proto.graph.input, *proto.graph.output)] == ["input", "output"]


@pytest.mark.parametrize("name", ["cnn", "gpt", "lstm"])
def test_a_model_that_lies_on_a_device(name: str, device: str) -> None:
    model = drawn(MODELS[name]())
    before = {key: parameter.device for key, parameter in model.named_parameters()}
    proto = to_onnx(model)
    assert before == {key: parameter.device for key, parameter in model.named_parameters()}
    check(session(proto), model.to("cpu"), model.in_shape, 3)


@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_model_in_half_precision_is_written_with_its_full_weights(half: str) -> None:
    model = drawn(nn.Sequential(nn.Linear(4, 3), nn.Tanh()))
    x, weight = np.random.default_rng(0).normal(size=(3, 4)).astype("float32"), model[0].weight.numpy().copy()
    expected = model(dl.tensor(x)).numpy()
    proto = to_onnx(model.to(dtype=half), VECTOR)
    np.testing.assert_allclose(session(proto).run(None, {"input": x})[0], expected, rtol=1e-5)
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(proto.graph.initializer[0]), weight)


def test_a_model_in_another_type_is_written_in_float32() -> None:
    model = drawn(nn.Sequential(nn.Linear(4, 3), nn.Tanh())).to(dtype="float64")
    proto = to_onnx(model, VECTOR)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_allclose(session(proto).run(None, {"input": x})[0], model(x.astype("float64")).numpy(), rtol=1e-5)
    assert model[0].weight.dtype == np.float64


class Own(nn.Module):
    """A model of one's own, whose forward is a function."""

    def __init__(self, forward: Any):
        super().__init__()
        self.linear, self.compute = nn.Linear(4, 4), forward

    def forward(self, x: Any) -> Any:
        return self.compute(self, x)


FORWARDS = {
    "slices": (lambda m, x: dl.cat([x[:, ::-1], x[:, 1:][:, :-1], x[:, None, 0], x[..., :2].tile((1, 1, 2))], 1),
               SEQUENCE),
    "statistics": (lambda m, x: (x - x.mean(1, keepdim=True)) / x.std(2, keepdim=True) + x.var(-1, keepdim=True),
                   SEQUENCE),
    "joins": (lambda m, x: dl.stack([x, m.linear(x)], 1).sum(1) + dl.cat(x.chunk(2, -1)[::-1], -1), SEQUENCE),
    "lengths": (lambda m, x: x * dl.ones(x.shape[0], x.shape[1], 1) + dl.zeros(*x.shape), SEQUENCE),
    "einsum": (lambda m, x: dl.einsum("ntd,nsd->nts", x, m.linear(x)).softmax(-1) @ x, SEQUENCE),
    "distances": (lambda m, x: dl.cdist(x, m.linear.weight, compute_mode="use_mm_for_euclid_dist"), VECTOR),
    "formulas": (lambda m, x: x.sin() + x.erf() + x.abs().log1p() + x.atan().expm1() + x.round(), VECTOR),
    "choices": (lambda m, x: x.clip(-1, 1) + dl.maximum(x, m.linear(x)) + x.abs().sqrt() + x.roll(1, -1), VECTOR),
    "sums": (lambda m, x: x.cumsum(1) + x.amax(1, keepdim=True) + x.logsumexp(1, keepdim=True) + x.norm(), SEQUENCE),
}  # fmt: skip


@pytest.mark.parametrize("name", FORWARDS)
def test_operations_of_ones_own_models(name: str) -> None:
    forward, shape = FORWARDS[name]
    model = drawn(Own(forward))
    proto = to_onnx(model, shape)
    for count in (2, 4):
        check(session(proto), model, shape, count)


class OwnOfTokens(Own):
    """One that looks tokens up, of which 0 is padding."""

    def __init__(self, forward: Any):
        super().__init__(forward)
        self.table, self.lstm = nn.Embedding(5, 4), nn.LSTM(4, 3, 2, bidirectional=True)
        self.encoder = nn.TransformerEncoderLayer(4, 2, 8)


def mean(m: Any, x: Any) -> Any:
    padding = x == 0
    return m.table(x).masked_fill(padding[..., None], 0).sum(1) / (~padding).sum(1, keepdim=True).clamp(min=1)


def encoded(m: Any, x: Any) -> Any:
    hidden = m.encoder(m.table(x), src_key_padding_mask=(x == 0) | (x > 3))
    return hidden * ((x != 0) & (x <= 3)).float()[..., None]


def read(m: Any, x: Any) -> Any:
    output, (h_n, c_n) = m.lstm(m.table(x), lengths=(x != 0).sum(1).clamp(min=1))
    return output, h_n, c_n


def written(m: Any, x: Any) -> Any:
    token, found = x[:, 0], []
    for _ in range(3):
        found.append(m.linear(m.table(token)))
        token = found[-1].argmax(-1)
    return dl.stack(found, 1), token


TOKENS = {
    "mean": mean, "encoded": encoded, "read": read, "written": written,
    "chosen": lambda m, x: dl.where(x.eq(2).logical_or(x >= 4), x // 2, x % 3 - 1.5) + x.gt(1.5).any(1, keepdim=True),
    "one hot": lambda m, x: F.one_hot(x, 5).float() @ m.table.weight + x.float().isnan().all(1)[:, None, None],
    "places": lambda m, x: m.table(x).max(dim=1).values + m.table(x).gather(1, x[:, :1, None]).sum(1) + x.argmin(),
    "positions": lambda m, x: m.table(x) * ((x != 0).cumsum(1) + dl.arange(x.shape[1]) + 2)[..., None],
}  # fmt: skip


@pytest.mark.parametrize("name", TOKENS)
def test_padding_and_choices_of_ones_own_models(name: str) -> None:
    model = drawn(OwnOfTokens(TOKENS[name]))
    running = session(to_onnx(model, (6,)))
    for count, steps in ((2, 6), (4, 6), (3, 5)):
        check(running, model, (steps,), count)


@pytest.mark.parametrize("attention", ["additive", "dot", "none"])
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_an_answer_is_written_to_inputs_of_any_length(kind: Any, attention: Any) -> None:
    model = drawn(models.Seq2Seq((6,), 11, kind, 8, 4, attention)).eval()
    running = session(to_onnx(model))
    for lengths in ([6, 2, 5], [9, 1, 8, 3], [1]):
        x = np.random.default_rng(1).integers(1, 11, (len(lengths), max(lengths)))
        x[np.arange(max(lengths)) >= np.array(lengths)[:, None]] = 0
        np.testing.assert_allclose(running.run(None, {"input": x})[0], model(x).numpy(), atol=1e-5)


def test_a_loop_over_steps_is_of_fixed_length() -> None:
    def loop(m: Any, x: Any) -> Any:
        h = x[:, 0]
        for t in range(1, x.shape[1]):
            h = m.linear(h).tanh() + x[:, t]
        return h

    model = drawn(Own(loop))
    proto = to_onnx(model, SEQUENCE)
    assert [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim] == [0, 6, 4]
    check(session(proto), model, SEQUENCE, 4)


class Twice(Function):
    """y = 2 x."""

    def forward(self, x: Any) -> Any:
        return 2 * x


def test_a_function_of_ones_own_has_an_exporter_of_ones_own() -> None:
    model = Own(lambda m, x: apply(Twice(), x))
    with pytest.raises(Unsayable, match="no way yet to say Twice in ONNX"):
        to_onnx(model, VECTOR)
    exports(Twice)(lambda step, x: x + x)
    check(session(to_onnx(model, VECTOR)), model, VECTOR, 3)


def numbers(m: Any, x: Any) -> Any:
    return x + dl.tensor(np.cos(x.detach().numpy()))


@pytest.mark.parametrize(
    ("model", "shape", "error", "said"),
    [
        (nn.Linear(2, 1), None, ArgumentError, r"give the shape of one input, without the batch"),
        ("net", (2,), ArgumentTypeError, "expected a model of dlcourse.nn, got a builtins.str"),
        (nn.MultiheadAttention(4, 2), SEQUENCE, ArgumentError, "fails on one input of shape .*: .* 2 required"),
        (nn.Linear(2, 1), (3,), Exception, "expected x of shape"),
        (nn.Linear(2, 1), 2, ArgumentError, r"in_shape is the lengths of one input's axes, .*, got 2"),
        (Own(numbers), VECTOR, Unsayable, "depends on the input by code that is not recorded"),
        (Own(lambda m, x: m.linear.weight), VECTOR, Unsayable, "the same for every input"),
        (Own(lambda m, x: x.detach().numpy()), VECTOR, ArgumentError, "returns tensors, got a ndarray"),
        (Own(lambda m, x: x[x > 0]), VECTOR, Unsayable, ""),
        (Own(lambda m, x: x * x.shape[0]), VECTOR, Unsayable, "a number in the model depends on the size of the input"),
        (dl.models.KNN((2,), 3), None, UserError, "knn"),
    ],
)  # fmt: skip
def test_what_cannot_be_said_is_said(model: Any, shape: Any, error: type, said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        export(model, tmp_path / "model.onnx", shape)
    assert not list(tmp_path.iterdir())


def test_a_wrong_graph_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dlcourse.autograd import elementwise
    from dlcourse.interop.onnx.step import EXPORTERS

    monkeypatch.setitem(EXPORTERS, elementwise.Tanh, lambda step, x: x)
    with pytest.raises(UserError, match="differ by .* Nothing was written"):
        export(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), tmp_path / "model.onnx", VECTOR)
    assert not list(tmp_path.iterdir())


def test_the_name_says_the_format(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="ends in .onnx"):
        export(nn.Linear(2, 1), tmp_path / "model.pb", (2,))
    words = export(nn.Linear(2, 1), tmp_path / "model.onnx", (2,))
    assert words.startswith("opset 18, 1 nodes, input (batch, 2) -> output (batch, 1)")


def test_without_the_package_or_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "by the reference of onnx" in export(drawn(MODELS["mlp"]()), tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r'pip install "dlcourse\[onnx\]"'):
        to_onnx(nn.Linear(2, 1), (2,))
