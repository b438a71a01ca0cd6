"""Averages of weights for a loop of one's own, by PyTorch's names; a config has ``train.swa`` and ``train.ema``.

averaged = optim.swa_utils.AveragedModel(model)
for epoch in range(100):
    ...
    if epoch >= 75:
        averaged.update_parameters(model)
optim.swa_utils.update_bn(loader, averaged)
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from math import cos, pi
from typing import Any, Literal

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, no_grad
from dlcourse.backend.device import Array
from dlcourse.optim.base import Optimizer
from dlcourse.optim.lr_scheduler import LRScheduler
from dlcourse.optim.require import require, require_non_negative

__all__ = ["SWALR", "AveragedModel", "update_bn"]
__all__ += ["get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn"]

Average = Callable[[Array, Array, int], Array]
"""The new average, of the average, the weights, and how many were averaged before; arrays of the device."""


AverageOfSeveral = Callable[[list[Array], list[Array], int], None]
"""The same for all arrays of a model at once, changed in place."""


def get_swa_avg_fn() -> Average:
    """The mean a <- a + (w - a) / (n + 1), as ``avg_fn`` of :class:`AveragedModel`, which takes it by itself."""
    return lambda average, current, count: average + (current - average) / (count + 1)


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """The exponential moving average a <- decay a + (1 - decay) w, as ``avg_fn`` of :class:`AveragedModel`.

    Args:
        decay: from 0 to 1.
    Raises:
        ValueError: it is not.
    """
    require(0 <= decay <= 1, f"decay has to lie in [0, 1], got {decay}")
    return lambda average, current, count: decay * average + (1 - decay) * current


def get_swa_multi_avg_fn() -> AverageOfSeveral:
    """:func:`get_swa_avg_fn` as ``multi_avg_fn`` of :class:`AveragedModel`."""
    return _of_several(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageOfSeveral:
    """:func:`get_ema_avg_fn` as ``multi_avg_fn`` of :class:`AveragedModel`."""
    return _of_several(get_ema_avg_fn(decay))


def _of_several(average: Average) -> AverageOfSeveral:
    def change(averages: list[Array], current: list[Array], count: int) -> None:
        for one, other in zip(averages, current, strict=True):
            one[...] = average(one, other, count)

    return change


class AveragedModel:
    """A copy of a model that holds the average of its weights (Izmailov et al. 2018), as in ``torch.optim.swa_utils``.

    a <- a + (w - a) / (n + 1) at the n-th :meth:`update_parameters`, from 0; with ``avg_fn`` another average. It is
    called as the model is, and is not trained.

    Args:
        model: a module.
        device: where the copy lies; where the model does if left out.
        avg_fn: instead of the mean, see :func:`get_ema_avg_fn`: of the average, the weights and n the new average.
        multi_avg_fn: the same for lists of all averages and all weights, the averages changed in place.
        use_buffers: average floating-point buffers too, such as batch norm's statistics; else they are those of the
            model when it was last taken in, and :func:`update_bn` computes batch norm's anew.
    Attributes:
        module: the copy.
        n_averaged: how many times the weights were taken in.
    Example:
        >>> model = nn.Linear(1, 1)
        >>> averaged = optim.swa_utils.AveragedModel(model)
        >>> for value in (1.0, 2.0, 6.0):
        ...     model.weight.data[...] = value
        ...     averaged.update_parameters(model)
        >>> averaged.module.weight.item()
        3.0
    """

    def __init__(
        self,
        model: Any,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageOfSeveral | None = None,
        use_buffers: bool = False,
    ):
        require(avg_fn is None or multi_avg_fn is None, "give avg_fn or multi_avg_fn, not both")
        require(not callable(device), "avg_fn is the third argument, as in PyTorch; write avg_fn=...")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.average = multi_avg_fn or _of_several(avg_fn or get_swa_avg_fn())
        self.use_buffers, self.n_averaged = use_buffers, 0

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.module(*inputs, **options)

    def __repr__(self) -> str:
        return f"AveragedModel({self.module!r}, n_averaged={self.n_averaged})"

    def update_parameters(self, model: Any) -> None:
        """Take in the weights as they are now.

        Raises:
            ValueError: the model has other parameters than the one that was copied.
        """
        own, theirs = dict(self.module.named_parameters()), dict(model.named_parameters())
        shapes = [{name: p.shape for name, p in each.items()} for each in (own, theirs)]
        require(shapes[0] == shapes[1], "the model has to have the parameters of the one that was copied")
        pairs = [(p.data, backend.of(p.data).asarray(theirs[name].data)) for name, p in own.items()]
        buffers = dict(model.named_buffers())
        for name, buffer in self.module.named_buffers():
            array = _array(buffer)
            current = backend.of(array).asarray(_array(buffers[name]))
            if self.use_buffers and array.dtype.kind == "f":
                pairs.append((array, current))
            else:
                array[...] = current
        if self.n_averaged:
            self.average([average for average, _ in pairs], [current for _, current in pairs], self.n_averaged)
        else:
            for average, current in pairs:
                average[...] = current
        self.n_averaged += 1

    def parameters(self) -> Iterator[Parameter]:
        """The averages."""
        return self.module.parameters()

    def modules(self) -> Iterator[Any]:
        """The copy's modules."""
        return self.module.modules()

    @property
    def training(self) -> bool:
        """Whether the copy is in training mode."""
        return bool(self.module.training)

    def train(self, mode: bool = True) -> "AveragedModel":
        """Set the copy's mode."""
        self.module.train(mode)
        return self

    def eval(self) -> "AveragedModel":
        """Set the copy to evaluation mode."""
        return self.train(False)

    def state_dict(self) -> dict[str, Any]:
        """``{"n_averaged": n, "module.NAME": array, ...}``."""
        return {"n_averaged": self.n_averaged} | {f"module.{k}": v for k, v in self.module.state_dict().items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.n_averaged = int(state_dict["n_averaged"])
        own = {k.removeprefix("module."): v for k, v in state_dict.items() if k != "n_averaged"}
        self.module.load_state_dict(own)


def _array(buffer: Any) -> Array:
    return buffer.data if isinstance(buffer, Tensor) else buffer


def running_statistics(model: Any) -> dict[str, Array]:
    """Batch norm's running means and variances, the arrays themselves, by name."""
    norms = {name for name, module in model.named_modules() if _keeps_statistics(module)}
    buffers = ((name, _array(buffer)) for name, buffer in model.named_buffers())
    return {name: array for name, array in buffers if name.rpartition(".")[0] in norms and array.dtype.kind == "f"}


def _keeps_statistics(module: Any) -> bool:
    return hasattr(module, "running_mean") and hasattr(module, "momentum")


def update_bn(loader: Iterable[Any], model: Any) -> None:
    """Compute the running statistics of a model's batch norms anew, the mean over the batches of a loader.

    As ``torch.optim.swa_utils.update_bn``; averaged weights have other statistics than the weights that were averaged.

    Args:
        loader: gives batches, or tuples of a batch and more, such as labels.
        model: a module or an :class:`AveragedModel`.
    """
    norms = [module for module in model.modules() if _keeps_statistics(module)]
    if not norms:
        return
    momenta, training = [module.momentum for module in norms], model.training
    model.train()
    try:
        with no_grad():
            for i, batch in enumerate(loader):
                for module in norms:
                    module.momentum = 1 / (i + 1)
                inputs = batch[0] if isinstance(batch, tuple | list) else batch
                model(inputs if isinstance(inputs, Tensor) else Tensor(inputs))
    finally:
        for module, momentum in zip(norms, momenta, strict=True):
            module.momentum = momentum
        model.train(training)


class SWALR(LRScheduler):
    """From the rate as it is to ``swa_lr``, then constant, ``torch.optim.swa_utils.SWALR``.

    Args:
        optimizer: whose rates are set.
        swa_lr: the rate at the end.
        anneal_epochs: steps until then.
        anneal_strategy: along half a cosine ("cos") or a line ("linear").
        last_epoch: t of a training that goes on.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float,
        anneal_epochs: int = 10,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        last_epoch: int = -1,
    ):
        require_non_negative(swa_lr=swa_lr, anneal_epochs=anneal_epochs)
        known = anneal_strategy in ("cos", "linear")
        require(known, f"anneal_strategy has to be cos or linear, got {anneal_strategy!r}")

        def left(t: int) -> float:
            if t >= anneal_epochs:
                return 0.0 if t else 1.0
            share = t / anneal_epochs
            return (1 + cos(pi * share)) / 2 if anneal_strategy == "cos" else 1 - share

        super().__init__(optimizer, left, last_epoch, swa_lr)
