"""Modules made of modules."""

from collections.abc import Iterator
from typing import Any

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
        for module in self._modules:
            x = module(x)
        return x

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules)

    def __getitem__(self, index: int | slice) -> Module:
        return Sequential(*self._modules[index]) if isinstance(index, slice) else self._modules[index]
