"""Helpers for parameters and gradients by PyTorch's names: ``nn.utils.parameters_to_vector``, ``nn.utils.rnn`` ..."""

from dlcourse.autograd.clip import clip_grad_norm_ as clip_grad_norm_
from dlcourse.autograd.clip import clip_grad_value_ as clip_grad_value_
from dlcourse.nn.utils import parametrizations as parametrizations
from dlcourse.nn.utils import parametrize as parametrize
from dlcourse.nn.utils import rnn as rnn
from dlcourse.nn.utils.parametrizations import spectral_norm as spectral_norm
from dlcourse.nn.utils.parametrizations import weight_norm as weight_norm
from dlcourse.nn.utils.vector import parameters_to_vector as parameters_to_vector
from dlcourse.nn.utils.vector import vector_to_parameters as vector_to_parameters

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "parametrizations", "parametrize", "rnn"]
__all__ += ["spectral_norm", "vector_to_parameters", "weight_norm"]


def __getattr__(name: str) -> object:
    """Only for what is not there: advice for names that PyTorch has."""
    import sys

    from dlcourse.habits import missing

    raise missing("nn.utils", name, f"module 'dlcourse.nn.utils' has no attribute {name!r}", sys.modules[__name__])
