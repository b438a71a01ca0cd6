"""The libraries compiled from CUDA sources are kept for the next process, and not for ever."""

import os
import tempfile
import time

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


def test_only_what_nobody_used_for_long_goes(tmp_path) -> None:
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
