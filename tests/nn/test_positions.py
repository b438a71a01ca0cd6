"""Positions in the transformer: sinusoids, rotary, and attention whose heads share keys and values."""

from typing import Any

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, no_grad, tensor
from dlcourse.errors import ArgumentError, ShapeError

N, HEADS, STEPS, DIM = 2, 4, 7, 16


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_sinusoids_are_those_of_the_paper(device: str) -> None:
    layer, x = nn.PositionalEncoding(6, 10), normal(N, 4, 6).astype("float32")
    t = np.arange(3, 7)[:, None]
    angle = t / 10_000 ** (np.array([0, 0, 2, 2, 4, 4]) / 6)
    table = np.where(np.arange(6) % 2, np.cos(angle), np.sin(angle))
    np.testing.assert_allclose(layer(tensor(x), start=3).numpy(), x + table, atol=1e-6)
    assert layer.state_dict() == {} and not list(layer.parameters())


def test_what_rotary_queries_and_keys_say_depends_on_their_distance() -> None:
    rotary = nn.RotaryEmbedding(8, 50).to(dtype="float64")
    q, k = (tensor(np.broadcast_to(normal(8, seed=seed), (1, 1, 20, 8)).copy()) for seed in (1, 2))
    scores = (rotary(q) @ rotary(k).swapaxes(2, 3)).numpy()[0, 0]
    for distance in (-3, 0, 5):
        band = np.diagonal(scores, distance)
        np.testing.assert_allclose(band, band[0], rtol=1e-6)
    assert not np.allclose(np.diagonal(scores, 0), scores[0, 1])


def pair(**options: Any) -> tuple[nn.MultiHeadAttention, Any]:
    """A layer in float64, and what PyTorch's function makes of the same weights and input."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours = nn.MultiHeadAttention(DIM, HEADS, causal=True, **options).to(dtype="float64")

    def theirs(x: Any, *weights: Any) -> Any:
        in_weight, in_bias, out_weight, out_bias = weights
        few, width = ours.num_kv_heads, DIM // HEADS
        parts = torch.nn.functional.linear(x, in_weight, in_bias).split([DIM, few * width, few * width], dim=-1)
        q, k, v = (part.unflatten(-1, (-1, width)).transpose(1, 2) for part in parts)
        if ours.rotary is not None:
            cos, sin = (torch.tensor(table.numpy()[:STEPS]) for table in (ours.rotary.cos, ours.rotary.sin))
            turn = torch.complex(cos, sin)
            q, k = (torch.complex(*each.chunk(2, -1)) * turn for each in (q, k))
            q, k = (torch.cat([each.real, each.imag], -1) for each in (q, k))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return torch.nn.functional.linear(y.transpose(1, 2).flatten(2), out_weight, out_bias)

    return ours, theirs


@pytest.mark.parametrize("few", [1, 2, 4])
@pytest.mark.parametrize("turned", [False, True])
def test_shared_heads_and_rotary_are_pytorchs_with_gradients(few: int, turned: bool, device: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")
    ours, theirs = pair(num_kv_heads=few, rotary=nn.RotaryEmbedding(DIM // HEADS, 9) if turned else None)
    assert ours.in_proj_weight.shape == (DIM + 2 * few * DIM // HEADS, DIM)
    x, weights = (
        normal(N, STEPS, DIM),
        [ours.in_proj_weight, ours.in_proj_bias, ours.out_proj.weight, ours.out_proj.bias],
    )
    for seed, each in enumerate(weights):
        each.data[...] = tensor(normal(*each.shape, seed=seed)).data
    mine, given = tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    copies = [torch.tensor(each.numpy(), requires_grad=True) for each in weights]
    y, expected = ours(mine), theirs(given, *copies)
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-10)
    y.square().sum().backward()
    expected.square().sum().backward()
    for a, b in zip([mine, *weights], [given, *copies], strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_cache_gives_what_the_whole_sequence_gives(dtype: str, device: str) -> None:
    layer = nn.MultiHeadAttention(DIM, HEADS, causal=True, num_kv_heads=2, bias=False, rotary=nn.RotaryEmbedding(4, 9))
    layer.to(dtype=dtype)
    x, cache = tensor(normal(N, STEPS, DIM).astype("float32")).to(dtype=dtype), nn.KeyValueCache()
    with no_grad():
        whole = layer(x)
        pieces = [layer(x[:, a:b], cache=cache).numpy() for a, b in ((0, 3), (3, 4), (4, 7))]
    assert whole.dtype == x.dtype and cache._held[0].shape[1] == 2
    close = 1e-6 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(np.concatenate(pieces, 1).astype("f"), whole.numpy().astype("f"), atol=close)


def test_half_precision_turns_in_float32(device: str) -> None:
    layer, x = nn.RotaryEmbedding(8, 3000).to(dtype="float16"), normal(1, 1, 3000, 8).astype("float16")
    exact = nn.RotaryEmbedding(8, 3000)(tensor(x.astype("float32"))).numpy()
    y = layer(tensor(x))
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.numpy().astype("f"), exact, atol=2e-3)
    assert nn.PositionalEncoding(8)(tensor(x)).dtype == np.float16


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.RotaryEmbedding(5), ArgumentError, "RotaryEmbedding: dim is even"),
        (lambda: nn.PositionalEncoding(4, 0), ArgumentError, "max_length at least 1"),
        (lambda: nn.RotaryEmbedding(4, base=-1.0), ArgumentError, "base above 0"),
        (
            lambda: nn.RotaryEmbedding(4, 3)(tensor(np.zeros((1, 1, 4, 4)))),
            ShapeError,
            "positions 0 to 3 are not below 3",
        ),
        (lambda: nn.RotaryEmbedding(4, 3)(tensor(np.zeros((1, 1, 2, 6)))), ShapeError, "expected x .*, T, 4., got"),
        (lambda: nn.MultiHeadAttention(8, 4, num_kv_heads=3), ArgumentError, "4 heads do not share 3"),
        (lambda: nn.MultiHeadAttention(8, 4, num_kv_heads=0), ArgumentError, "4 heads do not share 0"),
        (
            lambda: nn.MultiHeadAttention(8, 2, rotary=nn.RotaryEmbedding(8)),
            ArgumentError,
            "heads are 4 wide, .* turns 8",
        ),
        (lambda: F.rotary_embedding(*(tensor(np.zeros(s)) for s in ((2, 4), (2, 3), (2, 3)))), ShapeError, "d even"),
    ],
)
def test_what_does_not_fit(make: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_all_that_is_read_is_a_tensor() -> None:
    x = np.zeros((1, 2, 4), "float32")
    assert isinstance(nn.PositionalEncoding(4)(x), Tensor) and isinstance(nn.RotaryEmbedding(4)(x[None]), Tensor)
