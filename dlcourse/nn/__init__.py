"""Layers, losses and initializers: what ``from dlcourse import nn`` shows.

A new layer is a class in its family's file, named in that file's ``__all__`` and here.
"""

from dlcourse.nn import init
from dlcourse.nn.activation import (
    ACTIVATIONS,
    ELU,
    GELU,
    Activation,
    LeakyReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from dlcourse.nn.attention import MultiHeadAttention
from dlcourse.nn.container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from dlcourse.nn.conv import AvgPool2d, Conv2d, GlobalAvgPool2d, MaxPool2d
from dlcourse.nn.dropout import Dropout
from dlcourse.nn.embedding import Embedding
from dlcourse.nn.linear import Flatten, Identity, Linear
from dlcourse.nn.loss import CrossEntropyLoss, GaussianNLLLoss, HalfSSELoss, Loss, MSELoss, MulticlassHingeLoss
from dlcourse.nn.module import Module, Parameter
from dlcourse.nn.norm import BatchNorm, GroupNorm, LayerNorm
from dlcourse.nn.recurrent import GRU, LSTM, RNN
from dlcourse.nn.summary import Row, Summary, summarize

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "CrossEntropyLoss",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "GELU",
    "GRU",
    "GaussianNLLLoss",
    "GlobalAvgPool2d",
    "GroupNorm",
    "HalfSSELoss",
    "Identity",
    "LSTM",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "Loss",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "MultiHeadAttention",
    "MulticlassHingeLoss",
    "Parameter",
    "ParameterDict",
    "ParameterList",
    "RNN",
    "ReLU",
    "Row",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Summary",
    "Tanh",
    "init",
    "summarize",
]
