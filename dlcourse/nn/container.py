"""Modules made of modules."""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from dlcourse.autograd import is_grad_enabled
from dlcourse.nn.activation import ReLU
from dlcourse.nn.module import Module

__all__ = ["Sequential"]


class Sequential(Module):
    """One module after another, each taking the output of the one before; names in the state are ``0.weight`` ..."""

    def __init__(self, *modules: Module):
        super().__init__()
        for module in modules:
            if not isinstance(module, Module):
                raise TypeError(f"Sequential takes modules, got {type(module).__name__}")
        self._modules = list(modules)

    def children(self) -> Iterator[tuple[str, Module]]:
        return ((str(i), module) for i, module in enumerate(self._modules))

    def forward(self, x: Any) -> Any:
        # A pass that records no graph is for looking (summaries) or small; there each module is called by itself.
        for call in self._fused() if is_grad_enabled() else self._modules:
            x = call(x)
        return x

    def _fused(self) -> Iterator[Callable]:
        """What is called in turn: the modules, or for a pair that one can do in one pass that one's offer."""
        rest = iter(pairwise([*self._modules, Module()]))
        for module, following in rest:
            offer = module.fused_with(following)
            yield module if offer is None else offer
            if offer is not None:
                next(rest)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules)

    def __getitem__(self, index: int | slice) -> Module:
        return Sequential(*self._modules[index]) if isinstance(index, slice) else self._modules[index]


_relu = ReLU()


def then_relu(module: Module, x: Any) -> Any:
    """relu(module(x)), in one pass where the module offers it."""
    return (module.fused_with(_relu) or (lambda given: _relu(module(given))))(x)
