"""cuBLASLt as it is asked: on a stand-in that computes with NumPy on the memory it is pointed to (--device cuda)."""

import numpy as np
import pytest

from dlcourse import backend
from dlcourse.backend import precision

pytestmark = pytest.mark.skipif("config.getoption('--device') != 'cuda'", reason="cuBLASLt is a GPU's (--device cuda)")


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("by_columns", [(False, False), (True, False), (False, True), (True, True)])
def test_operands_as_they_lie(by_columns: tuple, dtype: str, batched: bool, device: str) -> None:
    from dlcourse.backend.cuda.blas import gemm

    draw, place = np.random.default_rng(0), backend.current()
    front = (3,) if batched else ()
    sizes = zip([(5, 7), (7, 4)], by_columns, strict=True)
    shapes = [(*front, *(size[::-1] if turned else size)) for size, turned in sizes]
    hosts = [draw.normal(size=shape).astype(dtype) for shape in shapes]
    a, b = (h.swapaxes(-1, -2) if turned else h for h, turned in zip(hosts, by_columns, strict=True))
    there = map(place.asarray, hosts)
    x, y = (d.swapaxes(-1, -2) if turned else d for d, turned in zip(there, by_columns, strict=True))
    out = place.asarray(np.ones((*front, 5, 4), dtype))
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(backend.to_host(gemm(x, y)), a @ b, rtol=tolerance, atol=tolerance * 10)
    gemm(x, y, out, accumulate=True)
    np.testing.assert_allclose(backend.to_host(out), a @ b + 1, rtol=tolerance, atol=tolerance * 10)


def test_rows_with_gaps_and_a_bias(device: str) -> None:
    from dlcourse.backend.cuda.blas import gemm

    draw, place = np.random.default_rng(0), backend.current()
    wide, weight, bias = (draw.normal(size=size).astype("f") for size in ((6, 3, 8), (5, 8), 5))
    x = place.asarray(wide)[:, 1]
    result = gemm(x, place.asarray(weight).T, bias=place.asarray(bias))
    np.testing.assert_allclose(backend.to_host(result), wide[:, 1] @ weight.T + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "compute"), [("float32", 68), ("tf32", 77)])
def test_the_precision_chooses_how_products_round(name: str, compute: int, device: str, monkeypatch) -> None:
    from dlcourse.backend.cuda import blas

    asked, describe = [], blas.library().cublasLtMatmulDescCreate

    class Library:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def cublasLtMatmulDescCreate(self, made: object, kind: int, scale: int) -> int:  # noqa: N802
            asked.append(kind)
            return describe(made, kind, scale)

    real = blas.library()
    monkeypatch.setattr(blas, "library", Library)
    monkeypatch.setattr(precision, "_current", name)
    blas._plan.cache_clear()
    x = backend.current().asarray(np.ones((3, 3), "f"))
    blas.gemm(x, x)
    blas._plan.cache_clear()
    assert asked == [compute] and precision.dtype(name) == np.float32


def test_a_result_by_columns_is_refused(device: str) -> None:
    from dlcourse.backend.cuda.blas import NotSupported, gemm

    x = backend.current().asarray(np.arange(9, dtype="f").reshape(3, 3))
    with pytest.raises(NotSupported):
        gemm(x, x, out=backend.current().xp.empty((3, 3), dtype="f").T)
