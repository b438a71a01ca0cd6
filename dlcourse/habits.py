"""What PyTorch or scikit-learn has under a name that is not here: where it is instead, for the message about that name.

One table for each place where such a name is looked up; :func:`missing` makes the error, with the advice or the nearest
name that is there.
"""

import difflib
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

__all__ = ["ADVICE", "OPTIONS", "advice", "missing", "refuse_import", "refused_option"]

_NUMPY = "write it with NumPy: np.{0}(x.detach().numpy())"
_PARALLEL = "`mpirun -n N dlcourse run CONFIG` trains on several processes"
_LENGTHS = "no packing: output, h_n = rnn(x, lengths=lengths) with padded sequences x (N, T, D), as pad_sequence makes"
_FAST = "nothing to do: dl.TrainStep makes a step fast by itself"
_AMP = "give a config precision: fp16 or bf16, or model.to(dtype='bfloat16'); dl.TrainStep scales the loss"

ADVICE: dict[str, dict[str, str]] = {
    "tensor": {
        "logdet": "F.logdet(x)",
        "inverse": "dl.linalg.inv(x); dl.linalg.solve(a, b) solves a x = b without an inverse",
        **{name: f"dl.linalg.{name}(x)" for name in ("det", "slogdet", "cholesky", "qr", "svd", "matrix_power")},
        "pinverse": "dl.linalg.pinv(x)",
        "index_reduce": "x.index_add(dim, index, source) for sums",
        "erfinv": "scipy.special.erfinv computes it, without a gradient",
        "complex": "all numbers are real",
        "real": "all numbers are real",
        "imag": "all numbers are real",
        "conj": "all numbers are real",
        "as_strided": "x.unfold(dim, size, step) has windows; x[...] and x.reshape the rest",
        "mode": "values, counts = x.unique(return_counts=True)",
        "stride": "x.data.strides, in bytes",
        "apply_": "compute with whole tensors, or x.data[...] = function(x.numpy())",
        "map_": "compute with whole tensors",
        "share_memory_": "sweeps run in processes by themselves: dlcourse sweep --jobs N",
        "pin_memory": "dl.DataLoader puts batches on the device by itself",
        "record_stream": "there is one stream",
        "detach_": "x = x.detach()",
        "resize_": "x = x.reshape(...), or a new tensor",
        "unsqueeze_": "x = x.unsqueeze(dim)",
        "squeeze_": "x = x.squeeze(dim)",
        "is_sparse": "all tensors are dense",
        "to_sparse": "all tensors are dense",
    },
    "module": {
        "register_backward_hook": "module.register_full_backward_hook",
        "compile": _FAST,
        "share_memory": "sweeps run in processes by themselves: dlcourse sweep --jobs N",
        "to_empty": "model.to(device)",
        "register_state_dict_pre_hook": "override state_dict",
        "register_load_state_dict_pre_hook": "override load_state_dict",
        "get_extra_state": "override state_dict and load_state_dict",
        "set_submodule": "model.get_submodule(parent) and setattr",
        "type": "module.to(dtype=...)",
        "fit": "dl.run(config) trains what a config says; a loop of one's own has dl.TrainStep",
        "predict": "model.eval()(x) under dl.no_grad(), or dl.load_run(folder).predict(x)",
        "summary": "print(model), or nn.summary(model, shape)",
    },
    "optimizer": {
        "minimize": "loss.backward(), then optimizer.step(); or dl.TrainStep(model, loss_fn, optimizer)",
    },
    "data": {
        **dict.fromkeys("X_train x_train y_train x X y inputs targets data target".split(), "x, y = data.train"),
        **dict.fromkeys("X_val x_val y_val".split(), "x, y = data.val"),
        **dict.fromkeys("X_test x_test y_test".split(), "x, y = data.test"),
        "classes": "data.class_names",
        "target_names": "data.class_names; of several numbers data.dataset.target_names",
        "shape": "data.in_shape",
        "validation": "data.val",
    },
    "samples": {
        **dict.fromkeys("x X data features".split(), "data.train.inputs; or x, y = data.train"),
        **dict.fromkeys("y target labels".split(), "data.train.targets; or x, y = data.train"),
        "shape": "data.train.inputs.shape",
        "class_names": "data.class_names",
        "feature_names": "data.feature_names",
    },
    "dl": {
        **dict.fromkeys(("make_dot", "draw_graph"), "dl.graph(y), or dl.graph(model, x), draws itself in a notebook"),
        "utils": "dl.DataLoader(inputs, targets, batch_size=...) makes batches of arrays",
        "TensorDataset": "dl.DataLoader(inputs, targets, batch_size=...) takes the arrays themselves",
        "Dataset": "dl.DataLoader(inputs, targets) takes arrays; configs take a class: dlcourse init --help",
        "random_split": "dl.load_data(name, split={'val': 0.2, 'test': 0.2})",
        "FloatTensor": "dl.tensor(data, dtype='float32')",
        "DoubleTensor": "dl.tensor(data, dtype='float64')",
        "LongTensor": "dl.tensor(data, dtype='int64')",
        "IntTensor": "dl.tensor(data, dtype='int32')",
        "BoolTensor": "dl.tensor(data, dtype='bool')",
        "bfloat16": "the name 'bfloat16', as in x.to('bfloat16')",
        "compile": _FAST,
        "jit": _FAST,
        "vmap": "operations broadcast over leading axes",
        "func": "x.backward() and x.grad",
        "autocast": _AMP,
        "amp": _AMP,
        "set_default_dtype": "give dtype='float64' to what makes tensors, and model.to(dtype='float64')",
        "Generator": "dl.manual_seed(seed): what is drawn is a function of the seed",
        "Size": "shapes are tuples",
        "dtype": "np.dtype",
        "set_num_threads": "the environment variable OMP_NUM_THREADS, before Python starts",
        "get_num_threads": "the environment variable OMP_NUM_THREADS",
        "set_printoptions": "np.set_printoptions(...), then print(x.numpy())",
        "use_deterministic_algorithms": "a CPU repeats bit for bit; on a GPU `dlcourse run --deterministic` does",
        "backends": "a GPU repeats bit for bit by `dlcourse run --deterministic`; precision: tf32 is for configs",
        "multiprocessing": "sweeps run in processes by themselves: dlcourse sweep --jobs N",
        "onnx": "dl.interop.onnx.export(model, path, in_shape); of a run `dlcourse export RUN --to model.onnx`",
        "hub": "models of the course: dlcourse list model",
        "fft": _NUMPY.format("fft.fft"),
        **{name: f"dl.linalg.{name}(x)" for name in ("det", "slogdet", "cholesky", "qr", "svd", "matrix_power")},
        "inverse": "dl.linalg.inv(x)",
        "pinverse": "dl.linalg.pinv(x)",
        "complex64": "all numbers are real",
        "poisson": "np.random.default_rng(seed).poisson(rates), then dl.tensor",
        "histogram": "np.histogram(x.numpy(), bins)",
        "stft": _NUMPY.format("fft.rfft"),
        "save_model": "dl.save(path, model.state_dict())",
        "load_model": "model.load_state_dict(dl.load(path)); of a run dl.load_run(folder).model",
        "Module": "nn.Module",
        "fit": "dl.run(config)",
        "train": "dl.run(config), or dl.TrainStep(model, loss_fn, optimizer)",
    },
    "nn": {
        **dict.fromkeys(
            ("Conv3d", "ConvTranspose3d", "MaxPool3d", "AvgPool3d", "BatchNorm3d"),
            "there is nn.Conv2d for images, nn.Conv1d for sequences: a volume (N, D, H, W, C) is N D images over H and "
            "W, then N H W sequences over D",
        ),
        **dict.fromkeys(
            ("LazyLinear", "LazyConv1d", "LazyConv2d", "LazyBatchNorm1d", "LazyBatchNorm2d"),
            "layers are told their sizes, since all weights lie in one array from the start; layers(x).shape, or "
            "nn.summary(layers, shape), says what comes out of the layers before",
        ),
        **dict.fromkeys(("UpsamplingNearest2d", "UpsamplingBilinear2d"), "nn.Upsample(..., mode=...)"),
        "DataParallel": _PARALLEL,
        "Tensor": "dl.Tensor",
    },
    "nn.utils": {
        "clip_grad_norm": "nn.utils.clip_grad_norm_(parameters, max_norm)",
        **dict.fromkeys(
            ("remove_weight_norm", "remove_spectral_norm"),
            "nn.utils.parametrize.remove_parametrizations(module, 'weight')",
        ),
        "prune": "weight.data *= mask, after each step",
    },
    "nn.utils.rnn": {
        "pack_padded_sequence": _LENGTHS,
        "pad_packed_sequence": _LENGTHS,
        "pack_sequence": _LENGTHS,
        "unpack_sequence": _LENGTHS,
        "PackedSequence": _LENGTHS,
    },
    "functional": {
        "relu_": "x = F.relu(x)",
        "cat": "F.concatenate, or dl.cat",
    },
    "optim": {},
    "init": {
        **dict.fromkeys(("glorot_uniform", "glorot_normal"), "init.xavier_uniform, init.xavier_normal"),
        **dict.fromkeys(("he_uniform", "he_normal"), "init.kaiming_uniform, init.kaiming_normal"),
        "truncated_normal": "init.trunc_normal",
    },
}
"""By where the name is looked up, then by name: what to write instead."""

OPTIONS: dict[str, str] = {
    "inplace": "leave it out: operations never change their inputs, and a step reuses its memory by itself",
    "device": "leave it out: layers are made on the current device, dl.set_device(...); model.to(device) moves them",
    "dtype": "leave it out, and cast the model: model.to(dtype='float64')",
    "add_bias_kv": "leave it out: it is not offered",
    "add_zero_attn": "leave it out: it is not offered",
    "sparse": "leave it out: gradients are dense",
    "max_norm": "leave it out; vectors are shortened after a step by weight.data *= factors",
    "scale_grad_by_freq": "leave it out: it is not offered",
    "enable_nested_tensor": "leave it out: padded sequences stay padded",
    "mask_check": "leave it out: padded sequences stay padded",
    "proj_size": "leave it out, and put nn.Linear(hidden_size, proj_size) behind the layer",
    "padding_mode": "leave it out: padding is by zeros",
    "foreach": "leave it out: all weights are one array",
    "fused": "leave it out: all weights are one array, in one pass",
    "capturable": "leave it out: dl.TrainStep captures steps by itself",
    "differentiable": "leave it out: it is not offered",
    "normalized_shape": "it is called dim here, the first argument: nn.LayerNorm(dim)",
    "size_average": "reduction='mean', 'sum' or 'none'",
    "reduce": "reduction='mean', 'sum' or 'none'",
}
"""PyTorch's keywords of constructors that are not here: what to do."""


def refused_option(owner: str, name: str) -> str:
    """The message about one of PyTorch's keywords that a constructor or function does not have."""
    return f"{owner} takes no {name!r}; {OPTIONS[name]}"


def advice(place: str, name: str, names: Iterable[str] = ()) -> str:
    """What to write for a name that is not there, after a semicolon; empty where nothing is known.

    Args:
        place: a key of :data:`ADVICE`.
        names: those that are there, of which one may have been meant.
    """
    known = ADVICE[place].get(name)
    if known is not None:
        return f"; here: {known}"
    near = difflib.get_close_matches(name, [each for each in names if not each.startswith("_")], n=1, cutoff=0.75)
    return f"; did you mean {near[0]!r}?" if near else ""


class MissingError(AttributeError):
    """A name that is not there; the advice is looked up when the message is read: ``hasattr`` should cost nothing."""

    def __init__(self, place: str, name: str, message: str, owner: Any):
        super().__init__(message)
        self.place, self.missing, self.owner = place, name, owner
        self.name = name  # and no obj, from which Python would guess once more

    def __str__(self) -> str:
        message = str(self.args[0])
        return message if self.missing.startswith("_") else message + advice(self.place, self.missing, dir(self.owner))


def missing(place: str, name: str, message: str, owner: Any) -> AttributeError:
    """The error about a name that is not there, with the advice.

    Args:
        place: a key of :data:`ADVICE`.
        owner: what was asked for it: an object of a class, or a module.
    """
    return MissingError(place, name, message, owner if isinstance(owner, ModuleType) else type(owner))


def refuse_import(module: str) -> None:
    """For ``import`` of what is not there: an error with the advice, where there is advice.

    Args:
        module: ``dlcourse.utils``, or a name that was to be imported from a package: ``dlcourse.nn.Conv1d``.
    Raises:
        ModuleNotFoundError: without a ``name``, by which ``from dlcourse import utils`` would take it for its own.
    """
    parent, _, name = module.rpartition(".")
    place = parent.removeprefix("dlcourse.").replace("dlcourse", "dl")
    if place in ADVICE and not name.startswith("_"):
        known = advice(place, name, dir(sys.modules.get(parent)))
        if known:
            raise ModuleNotFoundError(f"{parent} has no {name!r}{known}")
