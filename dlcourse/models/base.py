"""The base class of models: a Module with hooks for closed forms and for numbers in the data's own units."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, ClassVar, Protocol

import numpy as np

from dlcourse import backend
from dlcourse.autograd import Parameter, Tensor, as_tensor
from dlcourse.autograd.replicas import by_sample
from dlcourse.backend.device import Array
from dlcourse.errors import ShapeError, UserError
from dlcourse.nn import Module, init
from dlcourse.ops.linear import linear

__all__ = ["FeatureModel", "Model"]


class Scaling(Protocol):
    """How raw inputs became the model's: z = (x - shift) / scale, for each feature or channel."""

    shift: np.ndarray
    scale: np.ndarray


class Model(Module):
    """Base of what ``model: {name: ...}`` names. Every hook has a default, so a net needs only ``forward``.

    Args:
        in_shape: shape of one input, (D,) or (H, W, C).
        out_features: width of the target, or number of classes.
    """

    tasks: ClassVar[tuple[str, ...]] = ("regression", "classification")
    """The kinds of data set that it can learn."""
    takes_tokens: ClassVar[bool | None] = None
    """Whether an input is a sequence of tokens (N, T), which the model looks up, and nothing else; None: tokens where
    the model has an embedding."""
    answers: ClassVar[bool] = False
    """Whether it reads a sequence of tokens and writes another, as data with the :mod:`~dlcourse.special_tokens` want;
    then it has :meth:`attend`."""
    adapts_to: int | None = None
    """How many of the first training samples :meth:`adapt` looks at; None for all."""
    every_step: bool = False
    """Whether the data have a target at every step of a sequence, where the program set it."""
    feature_names: tuple[str, ...] = ()
    """What the inputs are called, where the data say so and the program set it; :meth:`estimates` uses it."""
    target_names: tuple[str, ...] = ()
    """What several targets are called, where the data say so and the program set it."""
    target_scaling: Scaling | None = None
    """How targets were scaled for the model to learn, z = (y - shift) / scale, where the program did so and set it;
    :meth:`estimates` undoes it."""
    fits_in_float64: ClassVar[bool] = False
    """Whether :meth:`fit` wants inputs and targets in float64 whatever the model's type."""
    former_names: ClassVar[Mapping[str, str]] = {}
    """The names of arrays by those that checkpoints of earlier versions have for them."""
    confidence: ClassVar[str] = "probability"
    """What :meth:`confidences` of a classifier are, in a word or two."""
    no_onnx: ClassVar[str] = ""
    """Why an ONNX file cannot say what it computes, where that is known."""
    keeps_state: ClassVar[bool] = False
    """Whether a sequence may come piece by piece, by an :meth:`initial_state` of its own."""
    objective_units: ClassVar[Mapping[str, str]] = {}
    """Of a model with an objective what :meth:`objective_values` gives, by name, with the unit of each; else empty."""

    players: ClassVar[tuple[str, ...]] = ()
    """Of a model whose parts are trained in turn, each by an objective of its own, the names of these attributes in
    their turn: see :meth:`player_objective`. Empty where all parameters follow one objective."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        own = "objective" in vars(cls) or "player_objective" in vars(cls)
        if own and not cls.objective_units:
            cls.objective_units = {"loss": ""}
        if "initial_state" in vars(cls):
            cls.keeps_state = True

    def __init__(self, in_shape: tuple[int, ...], out_features: int):
        super().__init__()
        self.in_shape, self.out_features = tuple(in_shape), int(out_features)
        self.in_features = prod(self.in_shape)
        if self.in_features < 1 or self.out_features < 1:
            raise ShapeError(
                f"{type(self).__name__}: needs at least one input and one output, got {in_shape}, {out_features}"
            )

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        """Raise UserError where settings of a config do not go with each other, whatever the data are: it is asked
        before these are read. The constructor refuses them as well.

        Args:
            settings: by name, without those that are wrong by themselves.
        """

    def adapt(self, x: Array, y: Array) -> None:
        """Take from the training split what the model needs to know before training, such as the range of the inputs.

        Args:
            x: the training inputs as the model will see them, (N, *in_shape): all, or the first :attr:`adapts_to`.
            y: their targets.
        """

    def objective(self, x: Tensor, y: Array, step: Any) -> Tensor:
        """The cost of a batch, a scalar, the mean over its samples. A model that has it is trained by it, and its
        config names no ``loss``.

        Args:
            x: inputs (N, *in_shape).
            y: their targets, which it need not look at.
            step: of the training, or the number of the batch in an evaluation. Random draws are a function of (seed,
                purpose, step): ``random.normal(shape, "vae/noise", step)`` of :mod:`dlcourse.backend.random`.
        """
        if not self.players:
            raise NotImplementedError
        first, *others = (self.player_objective(player, x, y, step) for player in self.players)
        return sum(others, first)

    def player_objective(self, player: str, x: Tensor, y: Array, step: Any) -> Tensor:
        """The cost of one of the :attr:`players`, which only its own parameters follow: the others are frozen
        meanwhile, see :class:`~dlcourse.training.alternating.AlternatingStep`. The arguments are :meth:`objective`'s,
        which is the sum of all players' costs.
        """
        raise NotImplementedError

    def objective_values(self, x: Tensor, y: Array, step: Any) -> dict[str, Tensor]:
        """The objective as ``loss``, and what else shows how good it is, such as its parts: scalars by name, each a
        mean over the samples. They are measured on every split. The class names them in ``objective_units``.
        """
        return {"loss": self.objective(x, y, step)}

    def example_arrays(self, x: Array, y: Array, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """Arrays for plots of what a model with an objective makes of the first inputs (N, *in_shape) of a split.

        Args:
            normalizer: how they were scaled before they came to the model; None when they were not.
        """
        return {}

    def next_logits(self, tokens: Array, state: Any = None) -> tuple[Tensor, Any]:
        """For a model of tokens: logits (N, V) of what follows, without gradients.

        Args:
            tokens: (N, T), what comes after those that the state has seen; of a first call the whole beginning.
            state: what the call before gave.
        Returns:
            The logits and the new state. By default that is the last tokens, as many as an input has; a model that can
            keep what it computed of them takes less time.
        """
        if state is not None:
            tokens = backend.array_module(tokens).concatenate([state, tokens], axis=1)
        tokens = tokens[:, -self.in_shape[0] :]
        return self(Tensor(tokens))[:, -1], tokens

    @property
    def looks(self) -> bool:
        """Of a model that :attr:`answers`, whether the weights of :meth:`attend` say anything."""
        return False

    def attend(self, x: Array) -> tuple[Array, Array]:
        """Of a model that :attr:`answers`: the likeliest answers (N, T) to tokens (N, S), and the weights (N, T, S) by
        which each of their tokens looks at what was read."""
        raise NotImplementedError

    @property
    def generates(self) -> bool:
        """Whether it has a :meth:`generate` of its own."""
        return type(self).generate is not Model.generate

    def initial_state(self, count: int) -> list[Tensor]:
        """What a model that keeps a state from one input to the next begins ``count`` sequences with, for
        :meth:`forward_from`: one tensor or several, zeros, with the sequences along axis 1, in the model's type.

        Raises:
            UserError: the model keeps none.
        """
        raise UserError(f"{type(self).__name__} keeps no state from one input to the next")

    def forward_from(self, x: Any, state: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """The outputs for inputs that go on where those before ended, and the state that they leave.

        Args:
            x: inputs (N, *in_shape), the next piece of each of N sequences.
            state: of :meth:`initial_state`, or what the call before gave.
        """
        raise NotImplementedError

    def generate(self, count: int, seed: int = 0) -> Tensor:
        """New inputs (count, *in_shape), drawn from what the model has learned, a function of the seed.

        Raises:
            UserError: the model generates nothing.
        """
        raise UserError(f"{type(self).__name__} generates nothing: it learned targets, not how inputs are distributed")

    def exported(self) -> tuple[Module, tuple[int, ...]]:
        """What ``dlcourse export`` writes as ONNX, and the shape of one input of that: by default the model itself."""
        return self, self.in_shape

    def design_matrix(self, x: Array) -> Array:
        """The matrix X (N, P) with outputs X theta, for a model linear in its parameters theta (P, K), in x's type.

        Raises:
            UserError: the model is not linear in its parameters.
        """
        raise UserError(
            f"optimizer least_squares cannot fit {type(self).__name__}, which is not linear in its parameters; "
            "it fits the models linear and polynomial, for others take closed_form, sgd, adam, ..."
        )

    @property
    def penalized(self) -> np.ndarray | None:
        """Booleans (P,): which rows of theta a ridge penalty shrinks; None for all."""
        return None

    def set_solution(self, theta: Array) -> None:
        """Take the parameters theta (P, K) that belong to :meth:`design_matrix`."""
        raise NotImplementedError

    def fit(self, x: Array, y: Array) -> None:
        """Solve for all parameters at once, by the model's own closed form.

        Raises:
            UserError: there is none.
        """
        raise UserError(
            f"optimizer closed_form cannot fit {type(self).__name__}, which has no closed form of its own; "
            "take least_squares for a model linear in its parameters, else sgd, adam, ..."
        )

    def estimates(self, normalizer: Scaling | None = None) -> dict[str, float]:
        """The fitted numbers that mean something to a reader, by name, in the data's own units.

        Args:
            normalizer: how the inputs were scaled before they came to the model; None when they were not.
        """
        return {}

    def trace(self) -> list[float]:
        """A few numbers that show where training stands, recorded at log points; none are where this is the base's."""
        return []

    def plot_arrays(self, normalizer: Scaling | None = None) -> dict[str, np.ndarray]:
        """Arrays that a plot of this model shows beside its outputs, in the data's own units."""
        return {}

    def pieces(self, x: Tensor) -> Tensor | None:
        """What the outputs for inputs (N, *in_shape) are the sum of, (N, P, K), what does not depend on x last; None
        for a model that is no such sum."""
        return None

    def nearest_training_samples(self, x: Array, count: int) -> Array | None:
        """The training samples that the answers for inputs (N, *in_shape) rest on, for a model that keeps them.

        Returns:
            Their indices in the training split, (N, count), the most similar first; None where there are none.
        """
        return None

    def confidences(self, outputs: np.ndarray) -> np.ndarray:
        """How sure a classifier is of each class, (N, C) in float64, from its outputs: softmax of logits."""
        odds = outputs.astype(np.float64)
        odds -= odds.max(axis=1, keepdims=True)
        np.exp(odds, out=odds)
        return odds / odds.sum(axis=1, keepdims=True)

    def per_input(self, name: str) -> list[str]:
        """A name for an estimate of each input: ``slope`` of the only one, else ``slope[Size]``, or ``slope_1`` where
        inputs have no names."""
        if self.in_features == 1:
            return [name]
        if len(self.feature_names) == self.in_features:
            return [f"{name}[{feature}]" for feature in self.feature_names]
        return [f"{name}_{d + 1}" for d in range(self.in_features)]

    def raw_scaling(self, normalizer: Scaling | None) -> tuple[np.ndarray, np.ndarray]:
        """The normalizer's shift and scale for every single input, (in_features,) each; 0 and 1 without one."""
        if normalizer is None:
            return np.zeros(self.in_features), np.ones(self.in_features)
        shift = np.broadcast_to(np.asarray(normalizer.shift, dtype=np.float64), self.in_shape)
        scale = np.broadcast_to(np.asarray(normalizer.scale, dtype=np.float64), self.in_shape)
        return shift.reshape(-1), scale.reshape(-1)

    def in_raw_targets(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """W (K, P) and b (K,) of outputs W phi + b as those of targets in their own units, see ``target_scaling``."""
        if self.target_scaling is None:
            return weight, bias
        shift, scale = self.target_scaling.shift, self.target_scaling.scale
        return weight * scale[:, None], bias * scale + shift


class FeatureModel(Model):
    """y = W phi(x) + b: linear in its parameters, so least squares fits it as well as gradient descent.

    A subclass says what the features phi are. All parameters start at 0: the cost is convex.

    Args:
        in_shape: shape of one input.
        out_features: K.
        features: P, the length of phi.

    Attributes:
        weight: W, (K, P).
        bias: b, (K,), which no penalty shrinks.
    """

    tasks = ("regression",)

    def __init__(self, in_shape: tuple[int, ...], out_features: int, features: int):
        super().__init__(in_shape, out_features)
        self.weight = Parameter(init.zeros((self.out_features, features)))
        self.bias = Parameter(init.zeros((self.out_features,)))

    def features(self, x: Array) -> Array:
        """phi, (N, P), of inputs (N, *in_shape), in x's type."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        inputs = as_tensor(x).data.astype(self.weight.dtype, copy=False)
        return linear(Tensor(by_sample(self.features, inputs)), self.weight, self.bias)

    def flops(self, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> int:
        return 2 * in_shape[0] * self.weight.data.size  # of W phi; what phi itself takes is left out

    def design_matrix(self, x: Array) -> Array:
        features = self.features(x)
        xp = backend.array_module(x)
        return xp.concatenate([features, xp.ones((len(x), 1), dtype=features.dtype)], axis=1)

    @property
    def penalized(self) -> np.ndarray:
        return np.arange(self.weight.shape[1] + 1) < self.weight.shape[1]

    def set_solution(self, theta: Array) -> None:
        self.weight.data[...] = theta[:-1].T
        self.bias.data[...] = theta[-1]

    def coefficients(self) -> tuple[np.ndarray, np.ndarray]:
        """W (K, P) and b (K,) on the host in float64, of targets in their own units."""
        weight, bias = self.weight.numpy().astype(np.float64), self.bias.numpy().astype(np.float64)
        return self.in_raw_targets(weight, bias)


def flat(x: Array) -> Array:
    """Inputs (N, ...) as rows (N, D)."""
    return x.reshape(len(x), prod(x.shape[1:]))  # -1 says nothing where there are no rows


def templates(weight: np.ndarray, in_shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """What rows of weights (K, D) look for in an image, for :meth:`Model.plot_arrays`.

    Returns:
        ``templates``, (K, H, W, C) in 0..1, each row scaled by itself: 1 where a bright pixel speaks for it, 0 where
        one speaks against it, 0.5 where it says nothing; and ``template_scales``, (K,), the weights at which 1 is
        reached. Empty unless inputs are images in gray or color.
    """
    if len(in_shape) != 3 or in_shape[2] not in (1, 3):
        return {}
    # Three standard deviations fill the range: a few large weights would leave all others gray.
    weight = weight.astype(np.float32)
    full = 3 * np.sqrt((weight * weight).mean(axis=1))
    scaled = np.clip(0.5 + 0.5 * weight / np.where(full == 0, 1, full)[:, None], 0, 1)
    return {"templates": scaled.reshape(-1, *in_shape).astype(np.float32), "template_scales": full}


def named_by_output(per_output: Sequence[Mapping[str, float]], targets: Sequence[str] = ()) -> dict[str, float]:
    """Estimates of K outputs as one mapping: plain names for a single output, else ``name[k]``, or ``name[target]``."""
    if len(per_output) == 1:
        return dict(per_output[0])
    keys = targets if len(targets) == len(per_output) else range(len(per_output))
    return {f"{name}[{k}]": value for k, named in zip(keys, per_output, strict=True) for name, value in named.items()}
