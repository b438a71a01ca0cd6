"""One sample there and here, and what came of it.

A sample is

- equal: every value and the gradient of every input that wants one agree (:data:`TOLERANCE`, in float64);
- refused: PyTorch computes it, and a ``raise`` of ours declines it with a message (:data:`REFUSALS`);
- not offered: our function takes no such argument (its signature does not bind the sample's);
- not comparable: random, see ``mapping.py``;
- wrong: another number, a missing gradient, an error that is not meant for the user, or a number where PyTorch refuses.

Where PyTorch has samples that it refuses, refusing them too counts as agreed.
"""

import inspect
import linecache
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import dlcourse
from dlcourse.autograd import Tensor
from dlcourse.errors import DlcourseError
from tests.pytorch_samples.source import MAX_SAMPLES

TOLERANCE = {"rtol": 1e-9, "atol": 1e-10}

REFUSALS = (DlcourseError, TypeError, ValueError, IndexError, RuntimeError)
"""The classes of a refusal. It also has to be raised on purpose, and to say something."""

_HOME = str(Path(dlcourse.__file__).parent)


class NotComparableError(Exception):
    """The result is random, or for another reason not PyTorch's."""


_RENAMED = {"dim": "axis", "keepdim": "keepdims"}  # where ours has NumPy's names only


class NotOfferedError(Exception):
    """Ours has no such argument."""


class WrongError(Exception):
    """Ours does not do what PyTorch does."""


@dataclass
class Tally:
    """What came of the samples of one name, or of many."""

    counts: Counter = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    refused: Counter = field(default_factory=Counter)
    not_offered: Counter = field(default_factory=Counter)
    left_out: int = 0

    def add(self, other: "Tally") -> None:
        for name in ("counts", "wrong", "refused", "not_offered", "left_out"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def note(self, attempt: Callable[..., str], what: str, *args: Any) -> None:
        """Try one sample and count what comes of it, by the word that it gives; ``what`` is the sample in words."""
        try:
            self.counts[attempt(*args)] += 1
        except NotOfferedError as error:
            self.counts["not offered"] += 1
            self.not_offered[str(error)] += 1
        except NotComparableError:
            self.counts["not comparable"] += 1
        except WrongError as error:
            self.counts["wrong"] += 1
            self.wrong.append(f"{what}: {error}")
        except Exception as error:
            if not is_refusal(error):
                self.counts["wrong"] += 1
                last = traceback.extract_tb(error.__traceback__)[-1]
                self.wrong.append(f"{what}: {type(error).__name__}: {error} ({last.filename}:{last.lineno})")
                return
            self.counts["refused"] += 1
            self.refused[str(error)] += 1

    def line(self) -> str:
        """The counts in words."""
        order = ("equal", "refused", "not offered", "not comparable", "wrong")
        kinds = ", ".join(f"{self.counts[kind]} {kind}" for kind in order)
        agreed = f"{self.counts['agreed']} refused there and here"
        return f"{kinds}, {agreed}, {self.left_out} left out (more than {MAX_SAMPLES} of one name)"


def is_refusal(error: Exception) -> bool:
    """Whether one of our lines raised it on purpose, with a message."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    file = frame.f_code.co_filename
    meant = file.startswith(_HOME) and linecache.getline(file, line).lstrip().startswith("raise")
    return meant and isinstance(error, REFUSALS) and bool(str(error).strip())


def called(ours: Callable, args: tuple, kwargs: dict) -> Any:
    """Call ours as PyTorch's is called; ``dim`` and ``keepdim`` by NumPy's names where it has only these."""
    signature = inspect.signature(ours)
    kwargs = {
        _RENAMED[key] if key not in signature.parameters and _RENAMED.get(key) in signature.parameters else key: value
        for key, value in kwargs.items()
    }
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        raise NotOfferedError(str(error)) from None
    return ours(*args, **kwargs)


def turned(ours: Callable, *turns: Callable | None, back: Callable | None = None) -> Callable:
    """Ours with its first arguments, and what it gives, in PyTorch's layout."""

    def call(*args: Any, **kwargs: Any) -> Any:
        after = args[len(turns) :]
        before = [turn(arg) if turn is not None and arg is not None else arg
                  for turn, arg in zip(turns, args, strict=False)]  # fmt: skip
        result = called(ours, (*before, *after), kwargs)
        return result if back is None else back(result)

    return call


class Sample:
    """PyTorch's tensors of one sample and ours, which hold the same numbers; a tensor that comes twice is one."""

    def __init__(self) -> None:
        self.pairs: dict[int, tuple[Any, Tensor, Callable]] = {}

    def pair(self, theirs: Any, ours: Tensor, turn: Callable = lambda array: array) -> None:
        """These two hold the same numbers; ``turn`` brings an array in our layout into theirs."""
        self.pairs[id(theirs)] = theirs, ours, turn

    def ours(self, value: Any) -> Any:
        """A sample's argument, at any depth, as ours."""
        import torch

        if isinstance(value, torch.Tensor):
            if id(value) not in self.pairs:
                if value.layout != torch.strided or value.is_complex():
                    raise NotOfferedError("sparse and complex tensors")
                if value.ndim > 64:
                    raise NotOfferedError("more than 64 axes, NumPy's most")
                array = np.array(value.detach().numpy(), order="K", copy=True)
                self.pair(value, Tensor(array, requires_grad=value.requires_grad))
            return self.pairs[id(value)][1]
        if isinstance(value, torch.Size):
            return tuple(value)
        if isinstance(value, list | tuple):
            return type(value)(self.ours(one) for one in value)
        if isinstance(value, dict):
            return {key: self.ours(one) for key, one in value.items()}
        if isinstance(value, torch.dtype):
            return str(value).removeprefix("torch.")
        if isinstance(value, complex):
            raise NotOfferedError("complex numbers")
        return value

    def check(self, expected: Any, result: Any) -> str:
        """Values and gradients agree: "equal".

        Raises:
            WrongError: they do not.
        """
        import torch

        expected, result = list(leaves(expected)), list(leaves(result))
        if len(expected) != len(result):
            raise WrongError(f"{len(result)} values for {len(expected)}")
        for theirs, ours in zip(expected, result, strict=True):
            close("value", numbers(ours), numbers(theirs))
        steered = [i for i, one in enumerate(expected) if isinstance(one, torch.Tensor) and one.requires_grad]
        wanting = [pair for pair in self.pairs.values() if pair[1].requires_grad]
        if not steered or not wanting:
            return "equal"
        rng = np.random.default_rng(0)
        weights = [rng.normal(size=tuple(expected[i].shape)) for i in steered]
        grads = torch.autograd.grad(
            [expected[i] for i in steered],
            [theirs for theirs, _, _ in wanting],
            [torch.tensor(w, dtype=expected[i].dtype) for i, w in zip(steered, weights, strict=True)],
            allow_unused=True,
        )
        _backward([result[i] for i in steered], weights)
        for (theirs, ours, turn), grad in zip(wanting, grads, strict=True):
            blank = np.zeros(tuple(theirs.shape))
            found = blank if ours.grad is None else turn(ours.grad.numpy())
            close("gradient", found, blank if grad is None else grad.numpy())
        return "equal"


def _backward(results: list, weights: list[np.ndarray]) -> None:
    if any(not getattr(result, "requires_grad", False) for result in results):
        raise WrongError("a result without a graph: its inputs get no gradient")
    if len(results) == 1:
        results[0].backward(weights[0])
        return
    total = results[0].sum() * 0.0
    for result, weight in zip(results, weights, strict=True):
        total = total + (result * weight).sum()
    total.backward()


def leaves(value: Any) -> Iterator[Any]:
    """The tensors and numbers of a result, in order."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from leaves(one)
    else:
        yield value


def numbers(value: Any) -> np.ndarray:
    return np.asarray(value.detach().numpy() if hasattr(value, "detach") else value)


def close(what: str, ours: np.ndarray, theirs: np.ndarray) -> None:
    if ours.shape != theirs.shape or ours.dtype.kind != theirs.dtype.kind:
        raise WrongError(f"{what}: {ours.dtype} of shape {ours.shape}, in PyTorch {theirs.dtype} of {theirs.shape}")
    if not np.allclose(ours, theirs, equal_nan=True, **TOLERANCE):
        with np.errstate(all="ignore"):
            away = np.abs(ours.astype(float) - theirs)
        begin = f"ours {ours.ravel()[:4]}, PyTorch {theirs.ravel()[:4]}"
        raise WrongError(f"{what}: away by {np.nanmax(away):.3g}; {begin}")


def refuses(call: Callable[[], Any], reason: str, lenient: str | None) -> str:
    """What PyTorch refuses is refused here too: "agreed". Where the reason contains ``lenient`` we take it on purpose.

    Raises:
        WrongError: it is not.
    """
    if lenient is not None and lenient in reason:
        raise NotComparableError
    try:
        quiet(call)
    except Exception as error:
        if is_refusal(error):
            return "agreed"
        raise
    raise WrongError(f"a number where PyTorch says: {reason}")


def described(value: Any) -> str:
    """A sample's arguments in short."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(described, value)) + "]"
    if isinstance(value, dict):
        return ", ".join(f"{key}={described(one)}" for key, one in value.items())
    if hasattr(value, "dtype"):
        return f"{str(value.dtype).removeprefix('torch.')}{tuple(value.shape)}"
    return repr(value)


def quiet(call: Callable[[], Any]) -> Any:
    """Without the warnings of either side: samples hold zeros, infinities and deprecated arguments."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return call()
