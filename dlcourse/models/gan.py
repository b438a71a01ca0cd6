"""Generative adversarial networks: a net that draws inputs, and one that tells them from those of the data
(lecture 16)."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from math import prod
from typing import Annotated, Any, Literal

from dlcourse import backend, registry
from dlcourse.autograd import Tensor, as_tensor, no_grad
from dlcourse.backend import random
from dlcourse.backend.device import Array
from dlcourse.backend.precision import accumulation_dtype
from dlcourse.component import Component
from dlcourse.errors import ArgumentError, UserError
from dlcourse.models.base import Model
from dlcourse.nn import Flatten, Identity, Module, Sequential, Sigmoid, Tanh, Unflatten
from dlcourse.nn.activation import relu, softplus
from dlcourse.registry import register
from dlcourse.types import Count

__all__ = ["GAN"]

Formula = Callable[[Tensor], Tensor]

LOSSES: dict[str, tuple[Formula, Formula, Formula]] = {
    "non_saturating": (lambda a: softplus(-a), softplus, lambda a: softplus(-a)),
    "minimax": (lambda a: softplus(-a), softplus, lambda a: -softplus(a)),
    "least_squares": (lambda a: (a - 1) ** 2 / 2, lambda a: a**2 / 2, lambda a: (a - 1) ** 2 / 2),
    "hinge": (lambda a: relu(1 - a), lambda a: relu(1 + a), lambda a: -a),
}
"""Of a score a: the discriminator's cost of a real and of a drawn input, and the generator's of a drawn one."""
OUTPUTS: dict[str, type[Module]] = {"identity": Identity, "sigmoid": Sigmoid, "tanh": Tanh}
RANGES = {"sigmoid": (0, 1), "tanh": (-1, 1)}


@register("model", "gan")
class GAN(Model):
    """A generator G draws inputs from noise, a discriminator D gives each input a score: higher for those of the data.

    Both are nets of this program, each with an optimizer of its own. In a step D moves first, then G, both by
    the same noise z ~ N(0, 1) (Goodfellow et al. 2014). With a = D(.) and softplus(a) = log(1 + e^a):

        loss             D lowers                                        G lowers
        non_saturating   E softplus(-D(x)) + E softplus(D(G(z)))         E softplus(-D(G(z)))
        minimax          the same                                        -E softplus(D(G(z)))
        least_squares    E (D(x) - 1)^2 / 2 + E D(G(z))^2 / 2            E (D(G(z)) - 1)^2 / 2
        hinge            E max(0, 1 - D(x)) + E max(0, 1 + D(G(z)))      -E D(G(z))

    In the first two, sigmoid(D(x)) is the probability that x is real, and D at its best has the cost 2 log 2 - 2 JS
    of the data and what G draws: 1.386 where they are the same. (least_squares: Mao et al. 2017; hinge: Lim & Ye 2017.)

    Args:
        in_shape: shape of one input.
        out_features: of the data; not looked at.
        latent: width of the noise.
        generator: a model for vectors of that width; its outputs are as many as the numbers of an input.
        discriminator: a model for the inputs; its output is the score.
        loss: what the two lower.
        output: what the generator's outputs go through: sigmoid for data in 0..1 (``data.normalize: minmax``).
    Attributes:
        generator, discriminator: the two nets.
    Raises:
        UserError: one of them takes no such inputs, or is no net that is trained by a loss; or the data have numbers
            that ``output`` never gives.
    """

    adapts_to = 1000
    players = ("discriminator", "generator")
    objective_units = {"loss": "", "discriminator": "", "generator": "", "score_real": "", "score_drawn": ""}

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        latent: Count,
        generator: Annotated[Any, Component("model")],
        discriminator: Annotated[Any, Component("model")],
        loss: Literal["non_saturating", "minimax", "least_squares", "hinge"] = "non_saturating",
        output: Literal["identity", "sigmoid", "tanh"] = "identity",
    ):
        super().__init__(in_shape, out_features)
        self.latent, self.loss, self.output = latent, loss, output
        self.generator = _net("generator", generator, (latent,), self.in_shape)
        self.discriminator = _net("discriminator", discriminator, self.in_shape, (1,))

    def adapt(self, x: Array, y: Array) -> None:
        low, high = RANGES.get(self.output, (x.min(), x.max()))
        if x.min() < low or x.max() > high:
            found = f"{float(x.min()):g} to {float(x.max()):g}"
            raise UserError(
                f"gan: output: {self.output} is for inputs in {low}..{high}, got {found}; data.normalize: minmax "
                "brings them into 0..1"
            )

    def forward(self, x: Tensor) -> Tensor:
        """The discriminator's scores (N, 1) of inputs (N, *in_shape)."""
        return self.discriminator(as_tensor(x))

    def draw(self, noise: Tensor) -> Tensor:
        """The generator's inputs (N, *in_shape) from noise (N, latent)."""
        return OUTPUTS[self.output]()(self.generator(noise)).reshape(-1, *self.in_shape)

    def exported(self) -> tuple[Module, tuple[int, ...]]:
        """The way from noise (N, latent) to inputs: :meth:`draw`."""
        parts = {"generator": self.generator, "output": OUTPUTS[self.output]()}
        parts |= {"flat": Flatten(), "shape": Unflatten(1, self.in_shape)}
        return Sequential(OrderedDict(parts)), (self.latent,)

    def player_objective(self, player: str, x: Tensor, y: Array, step: Any) -> Tensor:
        real, drawn, fools = LOSSES[self.loss]
        score = self._scores(self._drawn_for(x, step))
        if player == "generator":
            return fools(score).mean()
        return real(self._scores(x)).mean() + drawn(score).mean()

    def objective_values(self, x: Tensor, y: Array, step: Any) -> dict[str, Tensor]:
        """The cost of each player, their sum ``loss``, and the mean scores of real and of drawn inputs."""
        of_real, of_drawn = self._scores(x), self._scores(self._drawn_for(x, step))
        real, drawn, fools = LOSSES[self.loss]
        costs = {"discriminator": real(of_real).mean() + drawn(of_drawn).mean(), "generator": fools(of_drawn).mean()}
        scores = {"score_real": of_real.mean(), "score_drawn": of_drawn.mean()}
        return {"loss": costs["discriminator"] + costs["generator"], **costs, **scores}

    def _drawn_for(self, x: Tensor, step: Any) -> Tensor:
        """As many inputs as x has, drawn from the noise of a step."""
        return self.draw(Tensor(random.normal((len(x), self.latent), "gan/noise", step)).to(dtype=x.dtype))

    def _scores(self, x: Tensor) -> Tensor:
        scores = self.discriminator(x)
        return scores.to(dtype=accumulation_dtype(scores.dtype))  # out of half precision

    def generate(self, count: int, seed: int = 0) -> Tensor:
        """What the generator makes of noise from N(0, 1)."""
        weight = next(self.generator.parameters()).data
        noise = random.generator(seed, "gan/sample").standard_normal((count, self.latent)).astype(weight.dtype)
        with no_grad():
            drawn = self.draw(Tensor(backend.of(weight).asarray(noise)))
        return drawn.to(dtype=accumulation_dtype(drawn.dtype))


def _net(
    player: str, spec: Module | Mapping[str, Any], in_shape: tuple[int, ...], out_shape: tuple[int, ...]
) -> Module:
    """The net of a player: that module, or a new one as the config names it.

    Raises:
        ArgumentError: the model that is named is trained by an objective of its own, or is for sequences.
    """
    if isinstance(spec, Module):
        return spec
    cls = registry.lookup("model", spec["name"])
    if getattr(cls, "objective_units", None) or getattr(cls, "takes_tokens", None):
        raise ArgumentError(f"gan: {player}: {spec['name']} is no net for this; mlp is, for images dcgan_{player}")
    found: Module = registry.build("model", spec, in_shape=in_shape, out_features=prod(out_shape), out_shape=out_shape)
    return found
