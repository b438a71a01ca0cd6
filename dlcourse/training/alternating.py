"""AlternatingStep: one step of a model whose parts move in turn, each by an objective and an optimizer of its own."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dlcourse.autograd import FlatParameters, Tensor
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.errors import ArgumentError, ArgumentTypeError
from dlcourse.training.joint_step import JointStep
from dlcourse.training.step import TrainStep

__all__ = ["AlternatingStep"]


class AlternatingStep(JointStep):
    """One update of each of a model's players, one after another: ``loss = step(x, y)``.

        for each player p, in the order of model.players:
            w_p <- optimizer_p(w_p, the gradient of the cost of p at the weights as they are now, by w_p alone)

    While one moves the others are frozen: they get no gradient, and what was computed by them alone is no part of the
    graph. All see the same batch, and draw random numbers of their own. The loss of a step is the sum of the players'
    costs, each before its own update. (Goodfellow et al. 2014, algorithm 1.)

    Args:
        model: names its ``players``, which are attributes, and has
            :meth:`~dlcourse.models.base.Model.player_objective`.
        optimizers: by player, each over the parameters of that attribute.
        group_schedules: by player, what :class:`TrainStep` calls so.
        settings: others of :class:`TrainStep`, for each player by itself: ``clip_norm`` is of the gradient of one.
    Attributes:
        players: by name the :class:`TrainStep` of each.
        step: how many steps were taken.
        capture: as of :class:`TrainStep`.
    Raises:
        ValueError: an optimizer is missing, of no player, or not over the parameters of its player, or searches along
            the cost.
        TypeError: the model has no players.
    Example:
        >>> mlp = {"name": "mlp", "hidden": [16]}
        >>> model = dl.models.GAN((2,), 1, latent=2, generator=mlp, discriminator=mlp)
        >>> optimizers = {p: optim.Adam(getattr(model, p).parameters(), lr=1e-3) for p in model.players}
        >>> step = dl.AlternatingStep(model, optimizers)
        >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
        >>> losses = [step(x, x).item() for _ in range(20)]
        >>> model.generate(3).shape
        (3, 2)
    """

    swa = None

    def __init__(
        self,
        model: Any,
        optimizers: Mapping[str, Any],
        *,
        schedule: Any = None,
        group_schedules: Mapping[str, Mapping[int, Any]] | None = None,
        **settings: Any,
    ):
        players = getattr(model, "players", ())
        if not players:
            raise ArgumentTypeError(
                f"AlternatingStep: expected a model with players, such as models.GAN, got a {type(model).__name__}; "
                "others take dl.TrainStep"
            )
        if not isinstance(optimizers, Mapping) or sorted(optimizers) != sorted(players):
            came = ", ".join(optimizers) if isinstance(optimizers, Mapping) else f"a {type(optimizers).__name__}"
            raise ArgumentError(
                f"AlternatingStep: expected an optimizer for each of {', '.join(players)}, by these names, got {came}"
            )
        self.schedule = schedule
        by_group = group_schedules or {}
        self.players = {
            name: _PlayerStep(model, name, optimizers[name], schedule, by_group.get(name), settings) for name in players
        }
        super().__init__(model, list(self.players.values()))

    @property
    def flat(self) -> FlatParameters:
        """The parameters of the first player."""
        return self._steps[0].flat

    @property
    def ema(self) -> float | None:
        """The decay of the averages of the players' parameters."""
        return self._steps[0].ema

    @property
    def compute_dtype(self) -> np.dtype:
        """The type that the model computes in."""
        return self._steps[0].compute_dtype

    @property
    def skipped(self) -> int:
        """How many steps of a player overflowed float16, of the one with most of them."""
        return max(each.skipped for each in self._steps)

    def lr_at(self, step: int) -> float:
        """The learning rate of a step; of several that of the first player's first group."""
        return self.rates_at(step)[0]

    def update(self, x: Array, y: Array, loss_buffer: Array | None = None) -> Array:
        """One update of each player with a batch on the device, see :meth:`TrainStep.update`."""
        first, *others = (each.update(x, y) for each in self._steps)
        loss = sum(others, first)
        if loss_buffer is None:
            return loss.reshape(())
        loss_buffer[...] = loss
        return loss_buffer

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """As of :class:`TrainStep`, for all players."""
        with contextlib.ExitStack() as stack:
            for each in self._steps:
                stack.enter_context(each.averaged())
            yield

    def state_dict(self) -> dict:
        """``{"players": {name: as of TrainStep}}``."""
        return {"players": {name: each.state_dict() for name, each in self.players.items()}}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state that :meth:`state_dict` gave."""
        for name, each in self.players.items():
            each.load_state_dict(state["players"][name])


class _PlayerStep(TrainStep):
    """A step of one player, while the others stay as they are."""

    def __init__(
        self,
        model: Any,
        player: str,
        optimizer: Any,
        schedule: Any,
        group_schedules: Mapping[int, Any] | None,
        settings: Mapping[str, Any],
    ):
        own = {id(p) for p in getattr(model, player).parameters()}
        self.player, self.others = player, [p for p in model.parameters() if id(p) not in own]
        super().__init__(model, None, optimizer, schedule=schedule, group_schedules=group_schedules, **settings)
        if {id(p) for p in self.flat.all_parameters} != own:
            raise ArgumentError(
                f"AlternatingStep: the optimizer of {player} is to hold the parameters of model.{player}"
            )
        if optimizer.needs_closure:
            raise ArgumentError(
                f"AlternatingStep: {type(optimizer).__name__} searches along a cost that stays the same"
            )

    def take_gradient(self, x: Array, y: Array, loss_buffer: Array | None = None) -> Array:
        moving = [p for p in self.others if p.requires_grad]
        for p in moving:
            p.requires_grad = False
        try:
            return super().take_gradient(x, y, loss_buffer)
        finally:
            for p in moving:
                p.requires_grad = True

    def _objective(self, x: Tensor, y: Array) -> Any:
        return self.model.player_objective(self.player, x, y, random.current_step())

    def _layout(self) -> dict[str, list[int]]:
        places = {id(p): i for i, p in enumerate(self.model.parameters())}
        return {"layout": [places[id(p)] for p in self.flat.all_parameters]}
