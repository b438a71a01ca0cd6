"""What masks of attention mean: those of PyTorch's function of the same name, and of its layer."""

import numpy as np
import pytest

from dlcourse import functional as F
from dlcourse import nn
from dlcourse.autograd import Tensor, tensor
from dlcourse.errors import ShapeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no parity with it")

N, HEADS, STEPS, WIDTH = 2, 3, 6, 4
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
DRAW = np.random.default_rng(0)
UPPER = np.triu(np.full((STEPS, STEPS), -np.inf), 1)
EMPTY_ROW = np.where(np.arange(STEPS)[:, None] == 2, -np.inf, DRAW.normal(size=(HEADS, STEPS, STEPS)))
MASKS = {
    "added causal": UPPER,
    "added float32": UPPER.astype("float32"),
    "large and negative": np.triu(np.full((STEPS, STEPS), -1e9), 1),
    "bias by head": DRAW.normal(size=(HEADS, STEPS, STEPS)),
    "bias by key": DRAW.normal(size=(N, 1, 1, STEPS)),
    "bias of all": DRAW.normal(size=(1,)),
    "a row of -inf": EMPTY_ROW,
    "booleans": np.isfinite(UPPER),
    "a row of False": np.isfinite(EMPTY_ROW),
}


def qkv(steps: int = STEPS, dtype: str = "float32") -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(N, HEADS, steps, WIDTH)).astype(dtype) for _ in range(3)]


def theirs(arrays: list[np.ndarray], mask: np.ndarray, **options: object) -> list[np.ndarray]:
    """Value and gradients; of the mask too where it is of floats."""
    inputs = [torch.tensor(array, requires_grad=True) for array in arrays]
    attn_mask = torch.tensor(mask if mask.dtype == bool else mask.astype(arrays[0].dtype))
    if mask.dtype != bool:
        inputs.append(attn_mask.requires_grad_())
    y = torch.nn.functional.scaled_dot_product_attention(*inputs[:3], attn_mask=attn_mask, **options)
    y.sum().backward()
    return [y.detach().numpy(), *(x.grad.numpy() for x in inputs)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("steps", [STEPS, 60])
def test_a_mask_means_what_it_means_in_pytorch(name: str, steps: int, dtype: str, device: str) -> None:
    mask = MASKS[name]
    if steps > STEPS:  # enough scores for every override
        mask = mask if mask.shape == (1,) else np.kron(mask, np.ones((10, 10) if mask.shape[-2] > 1 else (1, 10)))
        mask = np.where(np.isnan(mask), 0, mask) if name != "booleans" else mask > 0
        mask = mask > 0 if MASKS[name].dtype == bool else mask
    arrays = qkv(steps, dtype)
    expected = theirs(arrays, mask)
    for learned in (False, True) if mask.dtype != bool else (False,):
        inputs = [tensor(array, requires_grad=True) for array in arrays]
        given = tensor(mask, requires_grad=True) if learned else mask
        y = F.scaled_dot_product_attention(*inputs, given)
        assert y.dtype == dtype
        y.sum().backward()
        found = [y, *(x.grad for x in (*inputs, given) if isinstance(x, Tensor))]
        for ours, their in zip(found, expected, strict=False):
            np.testing.assert_allclose(ours.numpy(), their, **CLOSE)


def test_a_mask_and_causal_hide_together(device: str) -> None:
    inputs = [tensor(array) for array in qkv()]
    for name in ("bias by head", "booleans"):
        mask = MASKS[name]
        both = mask & np.isfinite(UPPER) if mask.dtype == bool else mask + UPPER
        y = F.scaled_dot_product_attention(*inputs, mask, causal=True).numpy()
        np.testing.assert_allclose(y, F.scaled_dot_product_attention(*inputs, both).numpy(), **CLOSE)


@pytest.mark.parametrize("dtype", ["int64", "uint8"])
def test_masks_of_whole_numbers_and_wrong_shapes_are_refused(dtype: str) -> None:
    q, k, v = map(tensor, qkv())
    layer, x = nn.MultiHeadAttention(6, 2), tensor(np.zeros((2, 5, 6), "float32"))
    with pytest.raises(ShapeError, match="booleans, True where a query attends"):
        F.scaled_dot_product_attention(q, k, v, np.ones((STEPS, STEPS), dtype))
    with pytest.raises(ShapeError, match="booleans, True where a key is hidden"):
        layer(x, padding_mask=np.ones((2, 5), dtype))
    for shape in ((STEPS + 1,), (4, STEPS, STEPS), (1, N, HEADS, STEPS, STEPS)):
        with pytest.raises(ShapeError, match="broadcasts"):
            F.scaled_dot_product_attention(q, k, v, np.ones(shape, bool))
    for shapes in ({"padding_mask": (5, 2)}, {"attn_mask": (2, 5, 5)}, {"attn_mask": (5,)}):
        with pytest.raises(ShapeError, match="expected"):
            layer(x, **{name: np.ones(shape, bool) for name, shape in shapes.items()})
    with pytest.raises(ShapeError, match=r"expected x \(N, T, 6\)"):
        layer(x[0])
    with pytest.raises(TypeError):
        layer(x, x, x)  # query, key and value: PyTorch's call


@pytest.mark.parametrize("padding", ["none", "booleans", "added"])
@pytest.mark.parametrize("attn", ["none", "booleans", "added", "by head"])
@pytest.mark.parametrize("causal", [False, True])
def test_masks_of_the_layer_are_those_of_pytorchs_layer(padding: str, attn: str, causal: bool, device: str) -> None:
    """True hides a key."""
    ours, other = nn.MultiHeadAttention(8, 2, causal=causal), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    other.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 5, 8)).astype("float32")
    padded = np.arange(5) >= np.array([[5], [3], [4]])
    paddings = {"none": None, "booleans": padded, "added": np.where(padded, -np.inf, 0.5).astype("float32")}
    later = np.triu(np.ones((5, 5), bool), 1)
    masks = {"none": None, "booleans": later.T, "added": rng.normal(size=(5, 5)).astype("float32")}
    masks["by head"] = rng.normal(size=(6, 5, 5)).astype("float32")
    hidden = masks[attn]
    if causal:
        added = 0 if hidden is None else np.where(hidden, -np.inf, 0) if hidden.dtype == bool else hidden
        hidden = (np.where(later, -np.inf, 0) + added).astype("float32")
    if hidden is not None and hidden.dtype == bool:
        np.fill_diagonal(hidden, False)
    place = lambda mask: None if mask is None else torch.tensor(mask)  # noqa: E731
    expected, _ = other(*[torch.tensor(x)] * 3, key_padding_mask=place(paddings[padding]), attn_mask=place(hidden))
    y = ours(tensor(x), padding_mask=paddings[padding], attn_mask=masks[attn]).numpy()
    expected = expected.detach().numpy()
    seen = ~np.isnan(expected)  # of a query that sees no key PyTorch's layer makes NaN
    np.testing.assert_allclose(y[seen], expected[seen], **CLOSE)
    assert np.isfinite(y).all() and seen.mean() > 0.5


def test_a_learned_bias_of_the_layer_gets_its_gradient() -> None:
    bias = tensor(np.zeros((5, 5), "float32"), requires_grad=True)
    x = tensor(np.random.default_rng(0).normal(size=(2, 5, 6)).astype("float32"))
    padding = np.arange(5) >= np.array([[5], [3]])
    nn.MultiHeadAttention(6, 2)(x, padding_mask=padding, attn_mask=bias).sum().backward()
    assert np.abs(bias.grad.numpy()).max() > 0
