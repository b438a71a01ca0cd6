"""Attention and the transformer's layers against PyTorch's, with its weights by ``state_dict``."""

from typing import Any

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.autograd import gradcheck, tensor
from dlcourse.errors import ShapeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:torch")
TIGHT = {"rtol": 1e-9, "atol": 1e-10}
N, T, S, D = 3, 5, 4, 8
PADDED = np.arange(S) >= np.array([[4], [2], [3]])


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def pair(name: str, *args: Any, **options: Any) -> tuple[Any, Any]:
    """Ours and PyTorch's with the same weights, in float64."""
    ours = getattr(nn, name)(*args, **options).double()
    theirs = getattr(torch.nn, name)(*args, **options, batch_first=True).double()
    theirs.load_state_dict({key: torch.tensor(value) for key, value in ours.state_dict().items()})
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    return ours, theirs


def both(ours: Any, theirs: Any, arrays: tuple, **masks: Any) -> None:
    """Outputs, weights of attention and all gradients agree."""
    mine = [tensor(a, requires_grad=True) for a in arrays]
    given = [torch.tensor(a, requires_grad=True) for a in arrays]
    place = {key: torch.tensor(m) if isinstance(m, np.ndarray) else m for key, m in masks.items()}
    found, expected = ours(*mine, **masks), theirs(*given, **place)
    if not isinstance(found, tuple):
        found, expected = (found,), (expected,)
    assert [y is None for y in found] == [y is None for y in expected]
    pairs = [(y, e) for y, e in zip(found, expected, strict=True) if y is not None]
    for y, e in pairs:
        np.testing.assert_allclose(y.numpy(), e.detach().numpy(), **TIGHT)
    sum((y * tensor(normal(*y.shape, seed=9))).sum() for y, _ in pairs).backward()
    sum((e * torch.tensor(normal(*e.shape, seed=9))).sum() for _, e in pairs).backward()
    for x, e in zip(mine, given, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), e.grad.numpy(), **TIGHT)
    for name, p in theirs.named_parameters():
        np.testing.assert_allclose(ours.get_parameter(name).grad.numpy(), p.grad.numpy(), **TIGHT, err_msg=name)


MASKS = {
    "none": {},
    "padding": {"key_padding_mask": PADDED},
    "booleans": {"attn_mask": np.triu(np.ones((T, S), bool), 1)},
    "added": {"attn_mask": normal(T, S)},
    "by head": {"attn_mask": normal(N * 2, T, S)},
    "both": {"attn_mask": np.triu(np.ones((T, S), bool), 1), "key_padding_mask": PADDED},
    "causal": {"attn_mask": np.triu(np.ones((T, S), bool), 1), "is_causal": True},
}


@pytest.mark.parametrize("weights", ["none", "mean", "by head"])
@pytest.mark.parametrize("mask", MASKS)
def test_attention_to_another_sequence_is_pytorchs(mask: str, weights: str, device: str) -> None:
    for options in ({}, {"bias": False}, {"kdim": 6, "vdim": 7}):
        widths = options.get("kdim", D), options.get("vdim", D)
        ours, theirs = pair("MultiheadAttention", D, 2, **options)
        arrays = normal(N, T, D), normal(N, S, widths[0], seed=1), normal(N, S, widths[1], seed=2)
        wanted = {"need_weights": weights != "none", "average_attn_weights": weights == "mean"}
        both(ours, theirs, arrays, **MASKS[mask], **wanted)


def test_attention_within_a_sequence_and_without_a_batch_is_pytorchs() -> None:
    ours, theirs = pair("MultiheadAttention", D, 2)
    for shape in ((N, T, D), (T, D)):
        x = normal(*shape)
        y, w = ours(*[tensor(x)] * 3)
        expected, expected_w = theirs(*[torch.tensor(x)] * 3)
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), **TIGHT)
        np.testing.assert_allclose(w.numpy(), expected_w.detach().numpy(), **TIGHT)
        for given in (x, tensor(x)):  # apart, and as one
            np.testing.assert_allclose(ours(given, given, given)[0].numpy(), y.numpy(), **TIGHT)
    one = ours(*[tensor(x)] * 3, key_padding_mask=np.arange(T) > 2)[0]
    many = ours(*[tensor(x[None])] * 3, key_padding_mask=np.arange(T)[None] > 2)[0]
    np.testing.assert_array_equal(one.numpy(), many.numpy()[0])


def test_is_causal_needs_no_mask_and_a_learned_mask_gets_its_gradient_with_weights_too() -> None:
    layer, x = nn.MultiheadAttention(D, 2).double(), tensor(normal(N, T, D))
    later = np.triu(np.ones((T, T), bool), 1)
    causal, masked = layer(x, x, x, is_causal=True), layer(x, x, x, attn_mask=later)
    for one, other in zip(causal, masked, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), **TIGHT)
    memory = tensor(normal(N, S, D))
    seen = layer(x, memory, memory, is_causal=True)[0], layer(x, memory, memory, attn_mask=later[:, :S])[0]
    np.testing.assert_allclose(seen[0].numpy(), seen[1].numpy(), **TIGHT)
    gradients = []
    for wanted in (True, False):
        bias = tensor(normal(T, T), requires_grad=True)
        layer(x, x, x, attn_mask=bias, need_weights=wanted)[0].sum().backward()
        gradients.append(bias.grad.numpy())
    np.testing.assert_allclose(*gradients, **TIGHT)


def test_weights_have_gradients_by_differences_and_are_those_after_dropout() -> None:
    layer = nn.MultiheadAttention(4, 2, dropout=0.5).double().eval()
    bias = normal(3, 3)

    def run(x: Any, b: Any) -> Any:
        y, w = layer(x, x, x, attn_mask=b, average_attn_weights=False)
        return (y * y).sum() + (w * w * w).sum()

    gradcheck(run, [normal(2, 3, 4), bias])
    gradcheck(lambda x: (layer(x, x, x)[1] ** 2).sum(), normal(2, 3, 4))
    _, w = layer.train()(*[tensor(normal(2, 40, 4))] * 3, average_attn_weights=False)
    assert 0.4 < (w.numpy() == 0).mean() < 0.6
    (w * w).sum().backward()


ENCODER = [{}, {"activation": "gelu", "norm_first": True}, {"bias": False, "layer_norm_eps": 0.1}]


@pytest.mark.parametrize("options", ENCODER)
@pytest.mark.parametrize("masked", [False, True])
def test_encoder_and_decoder_are_pytorchs(options: dict, masked: bool, device: str) -> None:
    settings = D, 2, 12, 0.0
    src, tgt = normal(N, S, D), normal(N, T, D, seed=1)
    later = np.triu(np.ones((T, T), bool), 1)
    ours, theirs = pair("TransformerEncoderLayer", *settings, **options)
    both(ours, theirs, (src,), **({"src_key_padding_mask": PADDED, "src_mask": later[:S, :S]} if masked else {}))
    ours, theirs = pair("TransformerDecoderLayer", *settings, **options)
    masks = {"tgt_mask": later, "memory_key_padding_mask": PADDED} if masked else {}
    both(ours, theirs, (tgt, src), **masks)
    ours, theirs = pair("Transformer", D, 2, 2, 1, *settings[2:], **options)
    masks = {"tgt_mask": later, "memory_key_padding_mask": PADDED, "src_key_padding_mask": PADDED} if masked else {}
    both(ours, theirs, (src, tgt), **masks)


def test_stacks_are_copies_of_one_layer() -> None:
    layer = nn.TransformerEncoderLayer(D, 2, 12, 0.0)
    stack = nn.TransformerEncoder(layer, 3, nn.LayerNorm(D)).double()
    theirs = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(D, 2, 12, 0.0, batch_first=True), 3, torch.nn.LayerNorm(D),
        enable_nested_tensor=False,
    ).double()  # fmt: skip
    theirs.load_state_dict({key: torch.tensor(value) for key, value in stack.state_dict().items()})
    both(stack, theirs, (normal(N, S, D),), src_key_padding_mask=PADDED)
    first, second = stack.layers[0].linear1.weight, stack.layers[1].linear1.weight
    assert first is not second and (first.numpy() == second.numpy()).all()
    mask = np.triu(np.full((S, S), -np.inf), 1)
    x = tensor(normal(N, S, D))
    np.testing.assert_allclose(stack(x, is_causal=True).numpy(), stack(x, mask=mask).numpy(), **TIGHT)
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(D, 2, 12), 2)
    assert decoder(dl.ones(2, 5, D), dl.ones(2, 3, D), tgt_is_causal=True).shape == (2, 5, D)


def test_the_subsequent_mask_is_pytorchs() -> None:
    made = nn.Transformer.generate_square_subsequent_mask
    expected = torch.nn.Transformer.generate_square_subsequent_mask(4)
    np.testing.assert_array_equal(made(4).numpy(), expected.numpy())
    assert made(4).dtype == "float32" and made(2, dtype="float64").dtype == "float64"


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_transformer_in_half_precision_and_in_a_train_step(dtype: str) -> None:
    model = nn.Transformer(D, 2, 1, 1, 12, dropout=0.1).to(dtype=dtype)
    x = tensor(normal(N, S, D), dtype=dtype)
    y = model(x, x, tgt_is_causal=True)
    assert str(y.dtype) == dtype and np.isfinite(y.numpy().astype("f")).all()
    assert str(model.encoder.layers[0].self_attn(x, x, x)[1].dtype) == dtype
    layer = nn.Sequential(nn.TransformerEncoderLayer(D, 2, 12), nn.Flatten(), nn.Linear(S * D, 2)).to(dtype=dtype)
    step = dl.TrainStep(layer, F.cross_entropy, optim.Adam(layer.parameters(), lr=1e-2))
    losses = [step(normal(N, S, D).astype("f"), np.arange(N) % 2).item() for _ in range(20)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("width", [2, 4, 7])
def test_the_function_takes_pytorchs_arguments(causal: bool, scale: float | None, width: int, device: str) -> None:
    """Values of another width, other scales, causal where there are not as many queries as keys, shared heads."""
    for steps, heads in ((4, 2), (6, 1)):
        arrays = normal(N, 2, 5, 4), normal(N, heads, steps, 4, seed=1), normal(N, heads, steps, width, seed=2)
        mine = [tensor(a, requires_grad=True) for a in arrays]
        given = [torch.tensor(a, requires_grad=True) for a in arrays]
        options: dict = {"is_causal": causal, "scale": scale, "enable_gqa": heads == 1}
        y = F.scaled_dot_product_attention(*mine, None, 0.0, **options)
        expected = torch.nn.functional.scaled_dot_product_attention(*given, None, 0.0, **options)
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), **TIGHT)
        (y * y).sum().backward()
        (expected * expected).sum().backward()
        for x, e in zip(mine, given, strict=True):
            np.testing.assert_allclose(x.grad.numpy(), e.grad.numpy(), **TIGHT)


X, Q = dl.zeros(2, 3, D), dl.zeros(2, 2, 3, 4)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: nn.MultiheadAttention(8, 3), "embed_dim 8 does not fall into 3 heads"),
        (lambda: nn.MultiheadAttention(8, 2, 1.5), "dropout is a probability, got 1.5"),
        (lambda: nn.MultiheadAttention(8, 2, kdim=0), "kdim and vdim of at least 1"),
        *(
            (
                lambda make=make: make(8, 2, batch_first=False),
                r"batch_first is True, got False: sequences are \(N, T, D\)",
            )
            for make in (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.Transformer)
        ),
        (lambda: nn.MultiheadAttention(8, 2, add_bias_kv=True), "takes no 'add_bias_kv'"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X, X[:, :2]), r"expected query \(N, T, 8\), key \(N, S, 8\)"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X[:1], X[:1]), "expected query"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X, X, np.zeros((2, 4), bool)), r"expected key_padding_mask \(2, 3\)"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X, X, attn_mask=np.zeros((3, 4), bool)), r"attn_mask \(3, 3\) or \(4,"),
        (lambda: nn.TransformerEncoderLayer(8, 3), "embed_dim 8 does not fall into 3 heads"),
        (lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"), "activation is 'relu', 'gelu' or a function"),
        (lambda: nn.TransformerEncoderLayer(8, 2, 16, 0.1, "relu", 1e-5, False), "batch_first is True, got False"),
        (lambda: nn.TransformerEncoder(3, 2), "expected a layer to copy, got a int"),
        (lambda: nn.TransformerEncoder(nn.ReLU(), 2.5), "num_layers is a whole number, got 2.5"),
        (lambda: nn.Transformer(8, 2, 1, 1, 4)(X, dl.zeros(3, 3, D)), r"expected src \(N, S, 8\) and tgt"),
        (lambda: nn.Transformer(8, 2, 1, 1, 4)(X, dl.zeros(2, 3, 6)), r"expected src \(N, S, 8\) and tgt"),
        (lambda: F.scaled_dot_product_attention(Q, Q, Q, np.ones((3, 3), bool), is_causal=True), "exclude each other"),
        (lambda: F.scaled_dot_product_attention(Q, Q, Q, dropout_p=2), "dropout_p is a probability, got 2"),
        (lambda: F.scaled_dot_product_attention(Q, Q[:, :1], Q[:, :1]), "expected q"),
        (lambda: F.scaled_dot_product_attention(Q[:, :1], Q, Q, enable_gqa=True), "do not share 2 of keys"),
    ],
)
def test_mistakes_are_named(call: Any, text: str) -> None:
    with pytest.raises((ValueError, TypeError, ShapeError), match=text):
        call()
