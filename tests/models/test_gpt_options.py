"""The transformer's variants: positions, norms, gates and shared heads, against PyTorch, by cache, and as ONNX."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.autograd import no_grad
from dlcourse.errors import ArgumentError
from dlcourse.models import GPT
from dlcourse.training.step import TrainStep

LLAMA = {"positions": "rotary", "norm": "rms_norm", "feed_forward": "swiglu", "num_kv_heads": 2, "bias": False}
VARIANTS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "sinusoidal": {"positions": "sinusoidal", "num_kv_heads": 1},
    "none": {"positions": "none", "feed_forward": "swiglu", "tied": False},
    "without biases": {"bias": False},
}
T, V = 10, 13


def made(name: str) -> GPT:
    model = GPT((T,), V, 2, 4, 16, **VARIANTS[name]).eval()
    rng = np.random.default_rng(2)
    for parameter in model.parameters():
        parameter.data[...] = dl.tensor((rng.normal(size=parameter.shape) * 0.3).astype("f")).data
    return model


def tokens() -> np.ndarray:
    return np.random.default_rng(3).integers(0, V, (3, T))


def torch_gpt(model: GPT, x: np.ndarray) -> np.ndarray:
    """The same in PyTorch's functions, from the model's arrays."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    nnf, given = torch.nn.functional, {key: torch.tensor(value) for key, value in model.state_dict().items()}

    def linear(name: str, h: Any) -> Any:
        return nnf.linear(h, given[f"{name}.weight"], given.get(f"{name}.bias"))

    def norm(name: str, h: Any) -> Any:
        weight, bias = given[f"{name}.weight"], given.get(f"{name}.bias")
        rms = isinstance(model.norm, nn.RMSNorm)
        return nnf.rms_norm(h, (16,), weight) if rms else nnf.layer_norm(h, (16,), weight, bias)

    def attention(name: str, h: Any) -> Any:
        few = model.blocks[0].attention.num_kv_heads
        joined = nnf.linear(h, given[f"{name}.in_proj_weight"], given.get(f"{name}.in_proj_bias"))
        q, k, v = (part.unflatten(-1, (-1, 4)).transpose(1, 2) for part in joined.split([16, 4 * few, 4 * few], -1))
        if model.blocks[0].attention.rotary is not None:
            angles = torch.outer(torch.arange(T), 10_000.0 ** -torch.tensor([0, 0.5]))
            turn = torch.polar(torch.ones_like(angles), angles)
            q, k = (torch.complex(*each.chunk(2, -1)) * turn for each in (q, k))
            q, k = (torch.cat([each.real, each.imag], -1) for each in (q, k))
        y = nnf.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return linear(f"{name}.out_proj", y.transpose(1, 2).flatten(2))

    h = given["token_embedding.weight"][torch.tensor(x)]
    if model.position_encoding is not None:
        at = torch.outer(torch.arange(T), 10_000.0 ** (-torch.arange(0, 16, 2) / 16))
        h = 4 * h + torch.stack([at.sin(), at.cos()], -1).flatten(1)
    elif model.position_embedding is not None:
        h = h + given["position_embedding.weight"]
    for i in range(2):
        block = f"blocks.{i}"
        h = h + attention(f"{block}.attention", norm(f"{block}.norm1", h))
        g = norm(f"{block}.norm2", h)
        inner = linear(f"{block}.expand", g)
        if f"{block}.gate.weight" in given:
            inner = nnf.silu(linear(f"{block}.gate", g)) * inner
        else:
            inner = nnf.gelu(inner, approximate="tanh")
        h = h + linear(f"{block}.shrink", inner)
    return nnf.linear(norm("norm", h), given["token_embedding.weight" if model.head is None else "head.weight"]).numpy()


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_what_pytorchs_functions_make(name: str, device: str) -> None:
    model = made(name)
    np.testing.assert_allclose(model(tokens()).numpy(), torch_gpt(model, tokens()), atol=2e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_cache_and_a_beginning_anew_give_what_the_whole_gives(name: str, device: str) -> None:
    model, x = made(name), tokens()
    with no_grad():
        whole, state = model(x).numpy(), None
        for t in range(T):
            logits, state = model.next_logits(dl.tensor(x[:, t : t + 1]).data, state)
            np.testing.assert_allclose(logits.numpy(), whole[:, t], atol=2e-5)
        logits, _ = model.next_logits(dl.tensor(x[:, :1]).data, state)  # the context is full: its last half again
        again = np.concatenate([x, x[:, :1]], axis=1)[:, -T // 2 :]
        np.testing.assert_allclose(logits.numpy(), model(again).numpy()[:, -1], atol=2e-5)


@pytest.mark.filterwarnings("error::dlcourse.backend.cuda.graph.NotCaptured")
@pytest.mark.parametrize("name", ["llama", "sinusoidal"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_variant_is_trained_on_a_device(name: str, precision: str, device: str) -> None:
    model, x = GPT((T,), V, 1, 4, 16, dropout=0.1, **VARIANTS[name]).to(dtype=precision), tokens()
    step = TrainStep(model, F.cross_entropy, optim.AdamW(model.parameters(), lr=0.01))
    losses = [step(x, x).item() for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("name", ["llama", "sinusoidal"])
def test_a_variant_as_onnx(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    from dlcourse.interop.onnx import to_onnx

    model, x = made(name), tokens()
    session = runtime.InferenceSession(to_onnx(model).SerializeToString(), providers=["CPUExecutionProvider"])
    for steps in (T, 4):
        found = session.run(None, {"input": x[:2, :steps]})[0]
        np.testing.assert_allclose(found, model(x[:2, :steps]).numpy(), atol=2e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_kv_heads": 3}, "4 heads do not share 3"),
        ({"positions": "rotary", "width": 12}, "RotaryEmbedding: dim is even"),
        ({"positions": "sinusoidal", "width": 15, "heads": 3}, "PositionalEncoding: dim is even"),
    ],
)
def test_what_does_not_fit(options: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        GPT((T,), V, **{"layers": 1, "heads": 4, "width": 16} | options)


def test_gpt_2_has_124_million_parameters() -> None:
    """Counted at a twelfth of the depth: its blocks are alike."""
    model = GPT((1024,), 64, layers=1, heads=12, width=768)
    block = sum(parameter.size for parameter in model.blocks[0].parameters())
    rest = sum(parameter.size for parameter in model.parameters()) - block + (50_257 - 64) * 768
    assert 12 * block + rest == 124_439_808
