"""The samples of one operator of PyTorch's, there and here."""

from functools import cache
from typing import Any

from tests.pytorch_samples import source
from tests.pytorch_samples.compare import Sample, Tally, called, described, quiet, refuses
from tests.pytorch_samples.mapping import LENIENT, OPERATORS


@cache
def tally(name: str) -> Tally:
    """What comes of the samples that PyTorch has for the operator, and of those that it refuses."""
    import torch

    counted = Tally()
    for info in (info for info in source.table("op_db") if info.full_name == name):
        wants = info.supports_autograd and torch.float64 in info.supported_backward_dtypes("cpu")
        samples, left_out = source.spread(info.sample_inputs("cpu", torch.float64, requires_grad=wants))
        counted.left_out += left_out
        for sample in samples:
            counted.note(run, _text(sample), info, sample)
        if info.error_inputs_func is not None:
            for error in quiet(lambda info=info: list(info.error_inputs("cpu"))):
                if not isinstance(error.sample_input.input, int | float):  # a call on a number is none of ours
                    counted.note(run_error, _text(error.sample_input), info, error)
    return counted


def run(info: Any, sample: Any) -> str:
    """Value and gradient of one sample agree."""
    pair = Sample()
    args, kwargs = pair.ours((sample.input, *sample.args)), pair.ours(sample.kwargs)
    expected = quiet(lambda: info(sample.input, *sample.args, **sample.kwargs))
    result = quiet(lambda: called(OPERATORS[info.full_name], args, kwargs))
    return quiet(lambda: pair.check(expected, result))


def run_error(info: Any, error: Any) -> str:
    """What PyTorch refuses gives no number here."""
    sample, pair = error.sample_input, Sample()
    args, kwargs = pair.ours((sample.input, *sample.args)), pair.ours(sample.kwargs)
    return refuses(
        lambda: called(OPERATORS[info.full_name], args, kwargs), error.error_regex, LENIENT.get(info.full_name)
    )


def _text(sample: Any) -> str:
    return f"{described([sample.input, *sample.args])} {described(sample.kwargs)}"
