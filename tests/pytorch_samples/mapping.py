"""PyTorch's names and ours: one line a name.

A value is called with what PyTorch's function is called with. Where ours wants another layout (channels last), the line
turns the inputs and the result by our own ``transpose``, through which the gradients go back. Nothing else is changed:
an argument that ours lacks counts as not offered. :data:`INCOMPARABLE` says why a name of both cannot be compared.
"""

import functools
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import dlcourse as dl
from dlcourse import functional as F
from dlcourse import nn, optim
from dlcourse.autograd import Tensor
from tests.pytorch_samples.compare import NotComparableError, NotOfferedError, called, turned


def last(x: Tensor) -> Tensor:
    """Axis 1 goes to the end: (N, C, H, W) -> (N, H, W, C)."""
    return x if x.ndim < 3 else x.transpose(0, *range(2, x.ndim), 1)


def first(x: Tensor) -> Tensor:
    """The last axis goes to place 1: (N, H, W, C) -> (N, C, H, W)."""
    return x if x.ndim < 3 else x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def firsts(results: Any) -> Any:
    """Of one result or of several."""
    return tuple(map(first, results)) if isinstance(results, tuple) else first(results)


def last_of_image(x: Tensor) -> Tensor:
    """(..., C, H, W) -> (..., H, W, C)."""
    return x.movedim(-3, -1)


def first_of_image(x: Tensor) -> Tensor:
    """(..., H, W, C) -> (..., C, H, W)."""
    return x.movedim(-1, -3)


def last_of_probabilities(labels: Tensor) -> Tensor:
    return last(labels) if labels.dtype.kind == "f" else labels


def unpooled(ours: Callable) -> Callable:
    """With the channels of a whole ``output_size`` at the end."""

    def call(x: Tensor, *args: Any, output_size: Any = None, **kwargs: Any) -> Tensor:
        if output_size is not None and len(output_size) == x.ndim:
            output_size = [output_size[0], *output_size[2:], output_size[1]]
        return called(ours, (x, *args), {**kwargs, "output_size": output_size})

    return call


def covariances(x: Tensor, *, aweights: Any = None, **kwargs: Any) -> Tensor:
    if aweights is not None and aweights.dtype != x.dtype:
        raise NotComparableError("sums in the weights' type")
    return called(Tensor.cov, (x,), {"aweights": aweights, **kwargs})


def triplets(*args: Any, distance_function: Any = None, **kwargs: Any) -> Tensor:
    """By our distance in place of PyTorch's module."""
    ours = distance_function and F.pairwise_distance
    return called(F.triplet_margin_with_distance_loss, args, {**kwargs, "distance_function": ours})


def batch_first_of_steps(x: Tensor) -> Tensor:
    """(T, N, C) -> (N, T, C)."""
    return x.transpose(1, 0, 2) if x.ndim == 3 else x


def swapped(ours: Callable) -> Callable:
    """With its first two arguments in the other order."""
    return lambda a, b, *args, **kwargs: called(ours, (b, a, *args), kwargs)


def renamed(ours: Callable, **names: str) -> Callable:
    """With our names for some of PyTorch's keywords."""
    return lambda *args, **kwargs: called(ours, args, {names.get(key, key): value for key, value in kwargs.items()})


def of_random(ours: Callable, default_p: float, default_training: bool) -> Callable:
    """A dropout, where nothing is drawn."""

    def call(x: Tensor, p: float = default_p, training: bool = default_training, **kwargs: Any) -> Tensor:
        if training and 0 < p < 1:
            raise NotComparableError("other random numbers")
        return called(ours, (x, p, training), kwargs)

    return call


def rrelu(x: Tensor, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, **kwargs: Any) -> Tensor:
    if training and lower != upper:
        raise NotComparableError("other random numbers")
    return called(F.rrelu, (x, lower, upper, training), kwargs)


def pad_positions(x: Tensor, pad: Any, *args: Any, **kwargs: Any) -> Tensor:
    """By PyTorch's widths of all axes after the channels, which come last here."""
    channels = x.ndim - len(pad) // 2 - 1
    return called(F.pad, (x.movedim(channels, -1), (0, 0, *pad), *args), kwargs).movedim(-1, channels)


def convolution(ours: Callable) -> Callable:
    """Channels last, of a batch or of one sample; the kernel has as many axes as a batch."""

    def call(x: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        channels = 1 - (weight.ndim - x.ndim)
        y = called(ours, (x.movedim(channels, -1), weight.movedim(1, -1), *args), kwargs)
        return y.movedim(-1, channels)

    return call


def attention(*args: Any, dropout_p: float = 0.0, **kwargs: Any) -> Tensor:
    if dropout_p:
        raise NotComparableError("other random numbers")
    return called(F.scaled_dot_product_attention, args, kwargs)


def by_name(names: str) -> dict[str, Callable]:
    """Methods that bear PyTorch's names, and functions where there is no such method."""
    return {name: getattr(Tensor, name, None) or getattr(dl, name) for name in names.split()}


OPERATORS: dict[str, Callable[..., Any]] = {
    # --- arithmetic and comparison --------------------------------------------------------------------------------
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div.no_rounding_mode": operator.truediv,
    "true_divide": operator.truediv,
    "pow": operator.pow,
    "neg": operator.neg,
    "positive": operator.pos,
    "rsub": Tensor.__rsub__,
    **by_name("__radd__ __rsub__ __rmul__ __rmod__ __rpow__ __rmatmul__ __getitem__"),
    "where": lambda x, condition, other: dl.where(condition, x, other),
    "__rdiv__": Tensor.__rtruediv__,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    # --- element by element ---------------------------------------------------------------------------------------
    "clamp": Tensor.clip,
    "max.binary": F.maximum,
    "min.binary": F.minimum,
    # --- reductions -----------------------------------------------------------------------------------------------
    "max.reduction_with_dim": lambda x, dim, keepdim=False: x.max(dim=dim, keepdim=keepdim),
    "min.reduction_with_dim": lambda x, dim, keepdim=False: x.min(dim=dim, keepdim=keepdim),
    "max.reduction_no_dim": Tensor.max,
    "min.reduction_no_dim": Tensor.min,
    "var.unbiased": Tensor.var,
    # --- shape ----------------------------------------------------------------------------------------------------
    # --- by PyTorch's names, methods and functions ----------------------------------------------------------------
    **by_name("abs exp log sqrt tanh sigmoid square reciprocal rsqrt exp2 expm1 log1p log2 log10 logit"),
    **by_name("sin cos tan asin acos atan sinh cosh asinh acosh atanh deg2rad rad2deg erf erfc sinc lgamma digamma"),
    **by_name("heaviside histc corrcoef"),
    "cov": covariances,
    **{f"scatter_reduce.{how}": Tensor.scatter_reduce for how in ("sum", "prod", "mean", "amax", "amin")},
    **by_name("sign floor ceil trunc round frac nan_to_num clamp_min clamp_max double float half long int bool byte"),
    **dict.fromkeys(("round.decimals_0", "round.decimals_3", "round.decimals_neg_3"), Tensor.round),
    **by_name("atan2 hypot logaddexp logaddexp2 xlogy fmod fmax fmin copysign remainder maximum minimum"),
    **dict.fromkeys(("div.floor_rounding", "div.trunc_rounding"), Tensor.div),
    **by_name("floor_divide lerp addcmul addcdiv isclose dist cross inner vdot outer matmul mm bmm mv dot"),
    **by_name("addmm addmv addr baddbmm addbmm einsum tensordot kron cdist trace"),
    "addmm.decomposed": Tensor.addmm,
    "einsum": lambda operands, equation: dl.einsum(equation, *operands),
    **by_name("logical_and logical_or logical_not logical_xor equal allclose isin"),
    **by_name("isnan isinf isfinite isposinf isneginf signbit all any count_nonzero nonzero argwhere"),
    **by_name("sum mean prod nansum nanmean norm std var argmax argmin amax amin aminmax std_mean var_mean"),
    **dict.fromkeys(("norm.inf", "norm.fro", "norm.nuc"), Tensor.norm),
    **{"std.unbiased": Tensor.std, "std_mean.unbiased": Tensor.std_mean, "var_mean.unbiased": Tensor.var_mean},
    **by_name("median nanmedian quantile kthvalue cumsum cumprod logcumsumexp cummax cummin diff"),
    **by_name("softmax log_softmax logsumexp sort msort argsort topk unique unique_consecutive"),
    **{"softmax.with_dtype": Tensor.softmax, "log_softmax.with_dtype": Tensor.log_softmax},
    **by_name("clone contiguous item view view_as reshape reshape_as flatten unflatten ravel to"),
    **by_name("unsqueeze squeeze permute transpose t movedim expand expand_as broadcast_to sum_to_size"),
    "squeeze.multiple": Tensor.squeeze,
    **{name: lambda x, name=name: getattr(x, name) for name in ("T", "mT", "H", "mH")},
    **by_name("repeat tile repeat_interleave roll flip fliplr flipud rot90 narrow select unfold"),
    **by_name("split split_with_sizes chunk unbind tensor_split hsplit vsplit dsplit"),
    "split.list_args": Tensor.split,
    **by_name("tril triu diag diagonal diag_embed diagflat"),
    **by_name("gather take_along_dim take index_select masked_select masked_fill masked_scatter"),
    **by_name("scatter scatter_add index_add index_copy index_fill index_put put"),
    **by_name("select_scatter slice_scatter diagonal_scatter searchsorted bucketize"),
    **by_name("cat stack hstack vstack dstack column_stack block_diag atleast_1d atleast_2d atleast_3d"),
    **by_name("broadcast_tensors broadcast_shapes cartesian_prod combinations"),
    **dict.fromkeys(("meshgrid.list_of_tensors", "meshgrid.variadic_tensors"), dl.meshgrid),
    **by_name("zeros ones full eye arange linspace logspace zeros_like ones_like full_like scalar_tensor"),
    **{"linspace.tensor_overload": dl.linspace, "logspace.tensor_overload": dl.logspace},
    **by_name("new_zeros new_ones new_full"),
    # --- matrices -------------------------------------------------------------------------------------------------
    "logdet": F.logdet,
    **{f"linalg.{name}": getattr(dl.linalg, name) for name in dl.linalg.__all__ if name not in ("eigh", "svd")},
    "linalg.norm.subgradients_at_zero": dl.linalg.norm,
    "linalg.matrix_rank.hermitian": dl.linalg.matrix_rank,
    "linalg.lstsq.grad_oriented": dl.linalg.lstsq,
    "linalg.pinv.hermitian": dl.linalg.pinv,
    "linalg.pinv.singular": lambda a, b: dl.linalg.pinv(a @ b.mT),
    # --- softmax, activations, losses -----------------------------------------------------------------------------
    **{
        f"nn.functional.{name}": getattr(F, name)
        for name in (
            *("l1_loss", "smooth_l1_loss", "huber_loss", "mse_loss", "binary_cross_entropy", "kl_div"),
            *("binary_cross_entropy_with_logits", "poisson_nll_loss", "gaussian_nll_loss", "soft_margin_loss"),
            *("hinge_embedding_loss", "margin_ranking_loss", "cosine_embedding_loss", "triplet_margin_loss"),
            *("multi_margin_loss", "multilabel_margin_loss", "multilabel_soft_margin_loss"),
        )
    },
    "nn.functional.triplet_margin_with_distance_loss": triplets,
    "nn.functional.glu": F.glu,
    "nn.functional.threshold": F.threshold,
    "nn.functional.prelu": turned(F.prelu, last, back=first),
    "nn.functional.rrelu": rrelu,
    **dict.fromkeys(("nn.functional.softmin", "nn.functional.softmin.with_dtype"), F.softmin),
    "nn.functional.nll_loss": turned(F.nll_loss, last),
    "nn.functional.ctc_loss": turned(F.ctc_loss, batch_first_of_steps),
    "nn.functional.silu.complex": F.silu,
    "nn.functional.cross_entropy": turned(F.cross_entropy, last, last_of_probabilities),
    # --- layers ---------------------------------------------------------------------------------------------------
    "nn.functional.linear": F.linear,
    "nn.functional.embedding": swapped(F.embedding),
    "nn.functional.embedding_bag": swapped(F.embedding_bag),
    "nn.functional.conv1d": convolution(F.conv1d),
    "nn.functional.conv2d": convolution(F.conv2d),
    "nn.functional.conv_transpose1d": convolution(F.conv_transpose1d),
    "nn.functional.conv_transpose2d": convolution(F.conv_transpose2d),
    "nn.functional.pad.constant": F.pad,
    "nn.functional.pad.reflect": pad_positions,
    "nn.functional.pad.replicate": pad_positions,
    "nn.functional.pad.replicate_negative": pad_positions,
    "nn.functional.pad.circular": pad_positions,
    **{
        f"nn.functional.{name}": turned(getattr(F, name), last, back=firsts)
        for kind in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool")
        for name in (f"{kind}1d", f"{kind}2d")
    },
    **{
        f"nn.functional.{name}": turned(unpooled(getattr(F, name.partition(".")[0])), last, last, back=first)
        for axes in (1, 2)
        for name in (f"max_unpool{axes}d", f"max_unpool{axes}d.grad")
    },
    **{
        f"nn.functional.interpolate.{mode}": turned(F.interpolate, last, back=first)
        for mode in ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area")
    },
    "nn.functional.upsample_nearest": turned(F.interpolate, last, back=first),
    "nn.functional.upsample_bilinear": turned(
        lambda x, size=None, scale_factor=None: F.interpolate(x, size, scale_factor, "bilinear", True), last, back=first
    ),
    "nn.functional.pixel_shuffle": turned(F.pixel_shuffle, last_of_image, back=first_of_image),
    "nn.functional.pixel_unshuffle": turned(F.pixel_unshuffle, last_of_image, back=first_of_image),
    "nn.functional.unfold": turned(F.unfold, last, back=first),
    "nn.functional.layer_norm": F.layer_norm,
    "nn.functional.rms_norm": F.rms_norm,
    "nn.functional.instance_norm": turned(F.instance_norm, last, back=first),
    "nn.functional.local_response_norm": turned(F.local_response_norm, last, back=first),
    "nn.functional.group_norm": turned(F.group_norm, last, back=first),
    "nn.functional.batch_norm": turned(F.batch_norm, last, back=first),
    "nn.functional.batch_norm.without_cudnn": turned(F.batch_norm, last, back=first),
    "nn.functional.dropout": of_random(F.dropout, 0.5, True),
    "nn.functional.dropout2d": of_random(turned(F.dropout2d, last, back=first), 0.5, True),
    "nn.functional.alpha_dropout": of_random(F.alpha_dropout, 0.5, False),
    "nn.functional.feature_alpha_dropout.with_train": of_random(F.feature_alpha_dropout, 0.5, False),
    "nn.functional.feature_alpha_dropout.without_train": of_random(F.feature_alpha_dropout, 0.5, False),
    "nn.functional.cosine_similarity": F.cosine_similarity,
    "nn.functional.pairwise_distance": F.pairwise_distance,
    "nn.functional.normalize": F.normalize,
    "nn.functional.bilinear": F.bilinear,
    "nn.functional.scaled_dot_product_attention": attention,
}


@dataclass(frozen=True)
class Layer:
    """One of our modules: its class, and how its inputs, result and weights come into PyTorch's layout and back."""

    ours: Callable[..., nn.Module]
    turns: tuple[Callable | None, ...] = ()
    back: Callable | None = None
    kernels: bool = False

    def call(self, module: nn.Module) -> Callable:
        """The module, called in PyTorch's layout."""
        return turned(module.forward, *self.turns, back=self.back)

    def weight_back(self, array: np.ndarray) -> np.ndarray:
        """Our array of weights in PyTorch's layout."""
        return np.moveaxis(array, -1, 1) if self.kernels and array.ndim > 2 else array


class Convolution(Layer):
    """One of our convolutions, of a batch or of one sample."""

    def call(self, module: nn.Module) -> Callable:
        return lambda x, *args, **kwargs: convolution(lambda x, _, *rest, **options: module(x, *rest, **options))(
            x, module.weight, *args, **kwargs
        )


def batch_first(ours: Callable) -> Callable:
    """Without ``batch_first``, which ours always are: the samples are single sequences, which have no such axis."""

    def make(*args: Any, batch_first: bool = False, proj_size: int = 0, **kwargs: Any) -> nn.Module:
        if not isinstance(batch_first, bool) or proj_size:
            raise NotOfferedError("batch_first that is no bool" if proj_size == 0 else "proj_size")
        for name in ("add_bias_kv", "add_zero_attn"):
            if kwargs.pop(name, False):
                raise NotOfferedError(name)
        return called(ours, args, kwargs)

    return make


def transformer(ours: Callable) -> Callable:
    """Without ``batch_first``; single sequences have no such axis, and (2, 3, 4) has one of either kind."""

    def make(*args: Any, batch_first: bool = False, **kwargs: Any) -> nn.Module:
        theirs = {torch_function("gelu"): "gelu", torch_function("relu"): "relu"}
        args = tuple(theirs.get(arg, arg) if callable(arg) else arg for arg in args)
        made = called(ours, args, kwargs)
        made.forward = _in_layout(made.forward, batch_first)
        return made

    return make


def torch_function(name: str) -> Callable:
    import torch

    return getattr(torch.nn.functional, name)


def _in_layout(forward: Callable, batch_first: bool) -> Callable:
    """Called with (T, N, D) where PyTorch's is."""

    @functools.wraps(forward)
    def call(*args: Any, **kwargs: Any) -> Any:
        turn = not batch_first and args[0].ndim == 3
        args = tuple(arg.transpose(1, 0, 2) if turn else arg for arg in args)
        result = forward(*args, **kwargs)
        return result.transpose(1, 0, 2) if turn else result

    return call


MODULES = {
    "nn.Linear": Layer(nn.Linear),
    "nn.Embedding": Layer(renamed(nn.Embedding, num_embeddings="num", embedding_dim="dim")),
    **{
        f"nn.{name}": Convolution(getattr(nn, name), kernels=True)
        for name in ("Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d")
    },
    **{
        f"nn.{name}{axes}d": Layer(getattr(nn, f"{name}{axes}d"), (last,), firsts)
        for name in (
            *("AvgPool", "MaxPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "LPPool"),
            *("CircularPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "ZeroPad"),
        )
        for axes in (1, 2)
    },
    "nn.BatchNorm3d": Layer(nn.BatchNorm, (last,), first),
    **{
        f"nn.{name}": Layer(getattr(nn, name), (last,), first)
        for name in ("BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d", "LocalResponseNorm")
    },
    "nn.RMSNorm": Layer(nn.RMSNorm),
    "nn.Bilinear": Layer(nn.Bilinear),
    "nn.GroupNorm": Layer(nn.GroupNorm, (last,), first),
    "nn.LayerNorm": Layer(nn.LayerNorm),
    "nn.MultiheadAttention": Layer(batch_first(nn.MultiheadAttention)),
    "nn.TransformerEncoderLayer": Layer(transformer(nn.TransformerEncoderLayer)),
    "nn.TransformerDecoderLayer": Layer(transformer(nn.TransformerDecoderLayer)),
    "nn.Transformer": Layer(transformer(nn.Transformer)),
    "nn.RNN": Layer(batch_first(nn.RNN)),
    "nn.LSTM": Layer(batch_first(nn.LSTM)),
    "nn.GRU": Layer(batch_first(nn.GRU)),
    "nn.RNNCell": Layer(nn.RNNCell),
    "nn.LSTMCell": Layer(nn.LSTMCell),
    "nn.GRUCell": Layer(nn.GRUCell),
    **{f"nn.{name}": Layer(getattr(nn, name)) for name in ("Softmax", "LogSoftmax", "Softmin", "GLU", "Threshold")},
    "nn.Softmax2d": Layer(nn.Softmax2d, (last_of_image,), first_of_image),
    "nn.PReLU": Layer(nn.PReLU, (last,), first),
    "nn.CrossEntropyLoss": Layer(nn.CrossEntropyLoss, (last, last_of_probabilities)),
    "nn.NLLLoss": Layer(nn.NLLLoss, (last,)),
    "nn.CTCLoss": Layer(nn.CTCLoss, (batch_first_of_steps,)),
    **{
        f"nn.{name}": Layer(getattr(nn, name))
        for name in (
            *("L1Loss", "SmoothL1Loss", "HuberLoss", "MSELoss", "BCELoss", "BCEWithLogitsLoss", "KLDivLoss"),
            *("PoissonNLLLoss", "GaussianNLLLoss", "SoftMarginLoss", "HingeEmbeddingLoss", "MarginRankingLoss"),
            *("CosineEmbeddingLoss", "MultiMarginLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss"),
        )
    },
}

ACTIVATIONS = {f"nn.functional.{name}": getattr(F, name) for name in nn.ACTIVATIONS if name != "hardsigmoid"}
ACTIVATION_LAYERS = {f"nn.{kind.__name__}": Layer(kind) for kind in nn.ACTIVATIONS.values()}
"""By the names that PyTorch would have for them; it may lack one."""
OPERATORS |= ACTIVATIONS
MODULES |= ACTIVATION_LAYERS

OPTIMIZERS = {
    "SGD": lambda params, lr=1e-3, **kwargs: called(optim.SGD, (params, lr), kwargs),
    "Adam": optim.Adam,
    "AdamW": optim.AdamW,
    "Adagrad": optim.Adagrad,
    "RMSprop": optim.RMSprop,
    **{name: getattr(optim, name) for name in ("Adadelta", "Adamax", "ASGD", "NAdam", "RAdam", "Rprop")},
}

LENIENT = {
    # The second operand may be a Python number, as in NumPy.
    **dict.fromkeys(("maximum", "minimum", "max.binary", "min.binary", "clamp_min", "clamp_max"), ""),
    **dict.fromkeys(("atan2", "hypot", "logaddexp", "fmax", "fmin", "isclose"), ""),
    # Whole numbers have a mean, as in NumPy.
    "mean": "could not infer output dtype",
    # A tensor of one number is a number.
    **dict.fromkeys(("Adam", "AdamW"), "both floats or both Tensors"),
}
"""What we take and PyTorch refuses, on purpose: a part of PyTorch's message."""

INCOMPARABLE = {
    "nn.functional.hardsigmoid": "has the slope 1/6 in float32 in PyTorch, also of float64",
    "nn.TransformerEncoder": "its samples are made with a layer of PyTorch's; nn.Transformer's samples go through it",
    **dict.fromkeys(("linalg.eigh", "linalg.svd"), "gives vectors, whose signs are free"),
    "nn.functional.one_hot": "takes whole numbers, and its samples are asked for with a fraction",
    "zero_": "changes its tensor, without a graph",
    "LBFGS": "takes a closure, which the samples do not give it; tests/optim compares its steps",
    "Muon": "takes matrices alone in PyTorch too, and the samples' net has biases; tests/optim/test_muon.py compares",
    **dict.fromkeys(
        (
            "bitwise_and",
            "bitwise_or",
            "bitwise_xor",
            "bitwise_not",
            "__rand__",
            "__ror__",
            "__rxor__",
            "bincount",
            "tril_indices",
            "triu_indices",
        ),
        "takes whole numbers, and its samples are asked for with a fraction",
    ),
    **dict.fromkeys(
        (
            "normal",
            "normal.in_place",
            "normal.number_mean",
            "bernoulli",
            "multinomial",
            "rand_like",
            "randn",
            "randn_like",
            "randint",
            "randint_like",
        ),
        "draws other random numbers",
    ),
    **dict.fromkeys(("empty", "empty_like", "new_empty"), "is of zeros, PyTorch's of whatever lies there"),
    "bfloat16": "NumPy reads none of PyTorch's",
    "bmm.triton_optimized": "is another name of bmm",
}
"""What has a name of PyTorch's and another meaning, which its docstring says."""
