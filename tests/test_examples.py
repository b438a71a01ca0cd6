"""The examples in the docstrings of the names that a course uses: each has one, and it gives what it says."""

import doctest
from pathlib import Path

import numpy as np
import pytest

import dlcourse as dl
from dlcourse import data, nn, optim
from dlcourse import functional as F

NAMES = {
    **{
        f"dl.{name}": getattr(dl, name)
        for name in (
            "DataLoader",
            "TrainStep",
            "gradcheck",
            "graph",
            "inspect_step",
            "load_data",
            "load_run",
            "no_grad",
            "run",
            "tensor",
        )
    },
    **{f"nn.{name}": getattr(nn, name) for name in ("BatchNorm", "Conv2d", "Dropout", "Embedding", "LSTM", "Linear")},
    **{f"nn.{name}": getattr(nn, name) for name in ("MultiHeadAttention", "Sequential")},
    **{f"F.{name}": getattr(F, name) for name in ("cross_entropy", "softmax")},
    **{f"optim.{name}": getattr(optim, name) for name in ("Adam", "CosineSchedule", "SGD", "clip_grad_norm")},
    "data.Loader": data.Loader,
    "Tensor.std": dl.Tensor.std,
    "dl.einsum": dl.einsum,
    "dl.from_dlpack": dl.from_dlpack,
    "interop.torch": dl.interop.torch,
}


@pytest.mark.parametrize("name", NAMES)
def test_example_gives_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where dl.run puts its folder
    known = {"F": F, "data": data, "dl": dl, "nn": nn, "np": np, "optim": optim}
    example = doctest.DocTestParser().get_doctest(NAMES[name].__doc__, known, name, None, None)
    assert example.examples, f"{name} has no example"
    report: list[str] = []
    with dl.device("cpu"):
        found = doctest.DocTestRunner(verbose=False).run(example, out=report.append)
    assert not found.failed, "".join(report)
