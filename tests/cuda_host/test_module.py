"""The libraries compiled from CUDA sources are kept for the next process, and not for ever."""

import os
import tempfile
import time
from types import SimpleNamespace

import numpy as np
import pytest

from tests.cuda_host import module

needs_compiler = pytest.mark.skipif(module.COMPILER is None, reason="no g++ to compile CUDA sources for the host with")
CODE = 'extern "C" __global__ void nothing_float(float* x) { x[0] = 1; }'


@pytest.fixture
def folder(tmp_path, monkeypatch: pytest.MonkeyPatch):
    """A cache of this test's own, and nothing remembered in the process."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for function in (module._folder, module._compiled):
        function.cache_clear()
    yield tmp_path / "cuda-on-host"
    for function in (module._folder, module._compiled):
        function.cache_clear()


def test_only_what_was_not_used_for_long_goes(tmp_path) -> None:
    old, new = tmp_path / "old.so", tmp_path / "new.so"
    for path, age in ((old, module.KEEP_FOR + 60), (new, module.KEEP_FOR - 60)):
        path.touch()
        os.utime(path, (time.time() - age,) * 2)
    module.prune(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new.so"]


def test_what_another_process_removes_meanwhile_is_no_error(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone.so"
    monkeypatch.setattr(type(tmp_path), "iterdir", lambda folder: iter([gone]))
    module.prune(tmp_path)


@needs_compiler
def test_use_keeps_a_library_and_a_removed_one_is_compiled_again(folder) -> None:
    module.RawModule(code=CODE).get_function("nothing_float")
    (library,) = folder.iterdir()
    os.utime(library, (0, 0))
    module._compiled.cache_clear()
    module.RawModule(code=CODE)
    assert time.time() - library.stat().st_mtime < module.KEEP_FOR
    library.unlink()
    module._compiled.cache_clear()
    module.RawModule(code=CODE)
    assert list(folder.iterdir()) == [library]


def run(body: str, count: int, grid: tuple = (1,), block: tuple = (32,)) -> np.ndarray:
    """What a kernel with that body leaves in ``float* x``, which holds 0, 1, 2, ... before."""
    array = SimpleNamespace(host=np.arange(count, dtype=np.float32))
    code = f'extern "C" __global__ void tried_float(float* x) {{ {body} }}'
    module.RawModule(code=code).get_function("tried_float")(grid, block, (array,))
    return array.host


@needs_compiler
@pytest.mark.parametrize("writer", [0, 63])
def test_a_barrier_that_is_missing_shows(folder, writer: int) -> None:
    def body(barrier: str) -> str:
        share = f"__shared__ float first; if (threadIdx.x == {writer}) first = blockIdx.x;"
        return f"{share} {barrier} x[blockIdx.x * 64 + threadIdx.x] = first;"

    expected = np.repeat(np.arange(4, dtype=np.float32), 64)
    np.testing.assert_array_equal(run(body("__syncthreads();"), 256, (4,), (64,)), expected)
    assert (run(body(""), 256, (4,), (64,)) != expected).any()


@needs_compiler
def test_a_warp_that_is_not_whole_has_no_shuffle(folder) -> None:
    swap = "x[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);"
    np.testing.assert_array_equal(run(swap, 32), np.arange(32) ^ 1)
    for wrong, block in ((f"if (threadIdx.x > 20) return; {swap}", 32), (swap, 20)):
        with pytest.raises(RuntimeError, match="without some of its lanes"):
            run(wrong, 32, block=(block,))
    run(swap, 32)


@needs_compiler
@pytest.mark.parametrize("grid", [(1, 1 << 16), (1, 1, 1 << 16), (1 << 31,)])
def test_a_grid_beyond_what_a_device_takes_is_refused(folder, grid: tuple) -> None:
    with pytest.raises(ValueError, match="no such launch"):
        run("x[0] = 1;", 1, grid)
