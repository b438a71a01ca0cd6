"""Shapes, parameters, FLOPs and memory of a model, by sending a sample through it."""

import numpy as np
import pytest

from dlcourse import nn
from dlcourse.autograd import Tensor
from dlcourse.nn.summary import summarize


def net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))


def test_counts() -> None:
    summary = summarize(net(), Tensor(np.zeros((2, 3, 4), dtype="float32")))
    assert [(row.name, row.kind, row.out_shape) for row in summary.rows] == [
        ("", "Sequential", (2, 3)),
        ("0", "Flatten", (2, 12)),
        ("1", "Linear", (2, 8)),
        ("2", "ReLU", (2, 8)),
        ("3", "Linear", (2, 3)),
    ]
    assert [row.parameters for row in summary.rows] == [0, 0, 12 * 8 + 8, 0, 24]
    assert summary.parameters == 12 * 8 + 8 + 24
    assert summary.parameter_bytes == 4 * summary.parameters
    assert summary.flops == 2 * 12 * 8 + 2 * 8 * 3, "of one sample"
    assert summary.activation_bytes == 4 * (12 + 8 + 8 + 3), "of one sample"


class Twice(nn.Module):
    """One layer used twice, and one that is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.same = [self.layer]
        self.idle = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.same[0](x))


def test_shared_and_idle_modules() -> None:
    summary = summarize(Twice(), Tensor(np.zeros((1, 4), dtype="float32")))
    assert [(row.name, row.parameters, row.flops) for row in summary.rows] == [
        ("", 0, 0),
        ("layer", 20, 2 * 32),
        ("idle", 10, 0),
    ]
    assert summary.rows[2].out_shape is None
    assert "not called" in summary.table()


def test_group_norm_counts_as_layer_norm_does() -> None:
    x = Tensor(np.zeros((1, 3, 3, 4), dtype="float32"))
    counts = [summarize(nn.Sequential(layer), x).flops for layer in (nn.GroupNorm(2, 4), nn.LayerNorm(4))]
    assert counts == [8 * 36, 8 * 36]


def test_the_model_comes_back_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    model.train()
    model[1].training = False
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    summarize(model, Tensor(np.zeros((1, 4), dtype="float32")))
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == before
    with pytest.raises(Exception):  # noqa: B017  whatever the layer says to a wrong shape
        summarize(model, Tensor(np.zeros((1, 5), dtype="float32")))
    assert {name: dict(vars(module)) for name, module in model.named_modules()} == before


def test_table() -> None:
    table = summarize(net(), Tensor(np.zeros((1, 3, 4), dtype="float32"))).table(batch_size=10)
    lines = table.splitlines()
    assert lines[0].split() == ["module", "class", "output", "parameters", "FLOPs"]
    assert lines[4].split() == ["1", "Linear", "(N,", "8)", "104", "192"]
    assert "parameters        128, 512 B" in table
    assert "124 B a sample, 1.24 kB a batch of 10" in table
    assert "240 forward" in table


def test_receptive_fields_where_they_tell_something() -> None:
    x = Tensor(np.zeros((1, 8, 8, 2), dtype="float32"))
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    summary = summarize(net, x)
    assert [str(row.receptive_field) for row in summary.rows] == ["all", "3 x 3", "all", "all"]
    lines = summary.table().splitlines()
    assert "  receptive field  " in lines[0]
    assert lines[3].split() == ["0", "Conv2d", "(N,", "6,", "6,", "4)", "3", "x", "3", "76", "5,184"]
    assert "receptive field" not in summarize(nn.Sequential(nn.Flatten(), nn.Linear(128, 3)), x).table()


def test_half_precision_keeps_its_parameters_twice() -> None:
    table = summarize(net().to(dtype="float16"), Tensor(np.zeros((1, 3, 4), dtype="float16"))).table(batch_size=10)
    assert "parameters        128, 256 B; their gradients as much again; both in float32 too, 512 B each\n" in table
    assert "62 B a sample" in table
