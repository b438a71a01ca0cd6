"""Attention beyond its values: how arrays lie, what is in memory, and on the GPU's path which way is taken."""

from collections.abc import Callable

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend import determinism
from dlcourse.backend.kernels.attention import AttentionSettings, attention, attention_grad
from dlcourse.backend.layout import as_stacked_view

ELSEWHERE = "not config.pluginmanager.hasplugin('tests.fake_cupy')"
counted = pytest.mark.skipif(ELSEWHERE, reason="launches and memory are counted on the stand-in for CuPy")

N, HEADS, STEPS, WIDTH = 2, 3, 70, 8
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def projected(dtype: str = "float32", steps: int = STEPS, seed: int = 0) -> tuple:
    """Q, K and V as views (N, heads, T, d) of one projection (N, T, 3, heads, d), dY of an array (N, T, heads, d)."""
    rng = np.random.default_rng(seed)
    qkv = rng.normal(size=(N, steps, 3, HEADS, WIDTH)).astype(dtype)
    dy = rng.normal(size=(N, steps, HEADS, WIDTH)).astype(dtype)
    place = backend.current().asarray
    return *place(qkv).transpose(2, 0, 3, 1, 4), place(dy).transpose(0, 2, 1, 3)


def both(q: object, k: object, v: object, dy: object, mask: object = None, causal: bool = True) -> list:
    """y, dQ, dK and dV."""
    y, saved = attention(q, k, v, AttentionSettings(mask, causal))
    return [y, *attention_grad(dy, q, k, v, AttentionSettings(mask, causal), saved)]


def expected(*arrays: object, mask: np.ndarray | None = None, causal: bool = True) -> list[np.ndarray]:
    q, k, v, dy = (backend.to_host(array).astype(np.float64) for array in arrays)
    y, saved = attention.reference(q, k, v, AttentionSettings(mask, causal))
    return [y, *attention_grad.reference(dy, q, k, v, AttentionSettings(mask, causal), saved)]


def same(ours: list, theirs: list, **tolerance: float) -> None:
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(backend.to_host(our), their, **(tolerance or CLOSE))


def launched(compute: Callable[[], object]) -> list[str]:
    from tests.cuda_host.capture import Stream

    stream = Stream()
    stream.begin_capture()
    compute()
    return stream.end_capture().launches


def test_views_of_a_projection_are_read_and_written_as_they_lie(device: str) -> None:
    q, k, v, dy = projected()
    y, *grads = both(q, k, v, dy)
    same([y, *grads], expected(q, k, v, dy))
    assert y.transpose(0, 2, 1, 3).flags.c_contiguous  # (N, T, heads, d) for the projection that follows
    joined = as_stacked_view(tuple(grads))  # (3, N, heads, T, d)
    assert joined is not None and joined.transpose(1, 3, 0, 2, 4).flags.c_contiguous


@counted
def test_a_pass_and_its_gradient_are_three_launches(device: str) -> None:
    q, k, v, dy = projected()
    both(q, k, v, dy)
    kernels = ["attention_forward_32_float", "attention_queries_grad_32_float", "attention_keys_grad_32_float"]
    assert launched(lambda: both(q, k, v, dy)) == kernels


@pytest.mark.parametrize("gap", [1, 2])
def test_what_cannot_be_read_four_at_a_time_is_copied(gap: int, device: str) -> None:
    """An offset of one element, and rows with gaps."""
    wide = np.random.default_rng(0).normal(size=(4, N, HEADS, STEPS, 2 * WIDTH + 4)).astype("float32")
    arrays = [array[..., 1 : 1 + gap * WIDTH : gap] for array in backend.current().asarray(wide)]
    same(both(*arrays), expected(*arrays))


def test_a_mask_is_read_as_it_lies_for_every_shape_that_broadcasts(device: str) -> None:
    q, k, v, dy = projected()
    for shape in [(N, 1, 1, STEPS), (STEPS, STEPS), (1, HEADS, STEPS, 1), (N, HEADS, STEPS, STEPS)]:
        mask = np.random.default_rng(1).random(shape) < 0.6
        placed = backend.current().asarray(mask)
        same(both(q, k, v, dy, placed, causal=False), expected(q, k, v, dy, mask=mask, causal=False))


@counted
def test_a_mask_is_not_written_out(device: str) -> None:
    q, k, v, _ = projected()
    mask = backend.current().asarray(np.ones((N, 1, 1, STEPS), bool))
    assert launched(lambda: attention(q, k, v, AttentionSettings(mask))) == ["attention_forward_32_float"]


@counted
def test_nothing_as_large_as_the_weights_is_in_memory(device: str) -> None:
    import cupy

    q, k, v, dy = projected(steps=200)
    pool = cupy.get_default_memory_pool()
    before = pool.total_bytes()
    both(q, k, v, dy)
    # y, its gradients, and the rows' sums; the stand-in counts all that was ever asked for.
    assert pool.total_bytes() - before < 5 * q.nbytes + 2 * q.nbytes < N * HEADS * 200 * 200 * 4


def test_rows_without_keys_are_zeros_and_no_number_stays_in_its_row(device: str) -> None:
    q, k, v, dy = projected()
    mask = np.ones((N, 1, STEPS, 1), bool)
    mask[0, 0, 5] = False
    q = q.copy()
    q[1, 2, 66] = np.nan
    y, dq, *_ = both(q, k, v, dy, backend.current().asarray(mask))
    y, dq = backend.to_host(y), backend.to_host(dq)
    assert not y[0, :, 5].any() and not dq[0, :, 5].any()
    for array in (y, dq):
        wrong = np.argwhere(np.isnan(array).any(axis=3)).tolist()
        assert wrong == [[1, 2, 66]]


def test_large_scores_do_not_overflow(device: str) -> None:
    q, k, v, dy = projected()
    arrays = 300 * q, 300 * k, v, dy
    y, saved = attention(*arrays[:3], AttentionSettings())
    same([y], expected(*arrays, causal=False)[:1], rtol=1e-3, atol=1e-3)
    assert all(np.isfinite(backend.to_host(grad)).all() for grad in both(*arrays, causal=False))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, device: str) -> dict:
    """Every setting is measured; the choices made, by their keys."""
    if device == "cpu":
        pytest.skip("on a CPU there is one way")
    from dlcourse.backend.cuda import attention_blocks as overrides
    from dlcourse.backend.cuda import autotune

    made: dict = {}
    monkeypatch.setattr(overrides, "MIN_WORK", 0)
    monkeypatch.setattr(autotune, "choices", made)
    monkeypatch.delenv(determinism._DEMANDED, raising=False)
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("way", ["own", "products"])
def test_both_ways_serve_and_the_gradient_follows_the_forward_pass(
    way: str, dtype: str, device: str, measured: dict
) -> None:
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    arrays = projected(dtype, steps=9)
    attention(*arrays[:3], AttentionSettings(causal=True))
    ((key, choice),) = measured.items()
    assert set(choice.milliseconds) == {"own", "products"} and not choice.left_out
    measured[key].name = way
    tolerance = {2: 3e-2, 4: 1e-5, 8: 1e-12}[np.dtype(dtype).itemsize]
    ours = [backend.to_host(array).astype("float64") for array in both(*arrays)]
    same(ours, expected(*arrays), rtol=tolerance, atol=tolerance)
    assert list(measured) == [key]


@counted
def test_products_copy_a_projection_once_each_way(device: str, measured: dict) -> None:
    q, k, v, dy = projected(steps=9)
    both(q, k, v, dy)
    (choice,) = measured.values()
    choice.name = "products"
    found = launched(lambda: both(q, k, v, dy))
    assert found.count("product") == 6 and found.count("ascontiguousarray") == 2 and len(found) == 10


@counted
def test_nothing_is_measured_where_it_is_clear_or_not_allowed(
    device: str, measured: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dlcourse.backend.cuda import attention_blocks as overrides

    q, k, v, dy = projected()
    assert launched(lambda: attention(q, k, v, AttentionSettings(causal=True))) == ["attention_forward_32_float"]
    monkeypatch.setattr(overrides, "MAX_WEIGHTS", 1 << 10)
    both(q, k, v, dy)
    monkeypatch.setattr(overrides, "MAX_WEIGHTS", 1 << 28)
    monkeypatch.setenv(determinism._DEMANDED, "1")
    both(q, k, v, dy)
    assert not measured
