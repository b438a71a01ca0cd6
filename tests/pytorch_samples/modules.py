"""The samples of one module of PyTorch's, there and here, with the same weights."""

from functools import cache
from typing import Any

import numpy as np

from dlcourse import nn
from dlcourse.interop.torch import load_torch_state_dict
from tests.pytorch_samples import source
from tests.pytorch_samples.compare import Sample, Tally, called, close, described, quiet, refuses
from tests.pytorch_samples.mapping import LENIENT, MODULES, Layer


@cache
def tally(name: str) -> Tally:
    """What comes of the samples that PyTorch has for the module, in training and in evaluation."""
    import torch

    counted = Tally()
    for info in (info for info in source.table("module_db") if info.name == name):
        for training in (True, False) if info.train_and_eval_differ else (True,):
            request = {"device": "cpu", "dtype": torch.float64, "requires_grad": True, "training": training}
            samples, left_out = source.spread(info.module_inputs_func(info, **request))
            counted.left_out += left_out
            for sample in samples:
                counted.note(run, _text(sample), info, sample, training)
            if info.module_error_inputs_func is not None:
                for error in quiet(lambda info=info, r=request: list(info.module_error_inputs_func(info, **r))):
                    counted.note(run_error, _text(error.module_error_input), info, error, training)
    return counted


def run(info: Any, sample: Any, training: bool) -> str:
    """Value, gradients and running statistics of one sample agree."""
    pair, layer = Sample(), MODULES[info.name]
    theirs = _theirs(info, sample, training)
    ours = _ours(layer, theirs, pair, sample.constructor_input)
    given = sample.forward_input
    args = pair.ours(given.args)
    expected = quiet(lambda: theirs(*given.args, **given.kwargs))
    result = quiet(lambda: called(layer.call(ours), args, pair.ours(given.kwargs)))
    outcome = quiet(lambda: pair.check(expected, result))
    for key, buffer in theirs.named_buffers():
        if key != "num_batches_tracked":
            close(key, np.asarray(ours.state_dict()[key]), buffer.numpy())
    return outcome


def run_error(info: Any, error: Any, training: bool) -> str:
    """What PyTorch's module refuses, when it is made or called, is refused here."""
    pair, layer, sample = Sample(), MODULES[info.name], error.module_error_input
    made = sample.constructor_input
    if "CONSTRUCTION" in str(error.error_on):
        args = pair.ours(made.args), pair.ours(made.kwargs)
        return refuses(lambda: called(layer.ours, *args), error.error_regex, LENIENT.get(info.name))
    ours = _ours(layer, _theirs(info, sample, training), pair, made)
    args = pair.ours(sample.forward_input.args), pair.ours(sample.forward_input.kwargs)
    return refuses(lambda: called(layer.call(ours), *args), error.error_regex, LENIENT.get(info.name))


def _theirs(info: Any, sample: Any, training: bool) -> Any:
    import torch

    made = sample.constructor_input
    torch.manual_seed(0)
    module = quiet(lambda: info.module_cls(*made.args, **made.kwargs)).double()
    return module.train(training)


def _ours(layer: Layer, theirs: Any, pair: Sample, made: Any) -> Any:
    """Our module with the weights of theirs."""
    ours = called(layer.ours, pair.ours(made.args), pair.ours(made.kwargs)).to(dtype="float64")
    if layer.ours in (nn.LayerNorm, nn.RMSNorm):  # over three axes too, none of which is channels
        ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    else:
        load_torch_state_dict(ours, theirs.state_dict())
    parameters = dict(ours.named_parameters())
    for key, value in theirs.named_parameters():
        pair.pair(value, parameters[key], layer.weight_back)
    return ours.train() if theirs.training else ours.eval()


def _text(sample: Any) -> str:
    made, given = sample.constructor_input, sample.forward_input
    called_with = "" if given is None else f" called with {described([*given.args])} {described(given.kwargs)}"
    return f"{described([*made.args])} {described(made.kwargs)}{called_with}"
