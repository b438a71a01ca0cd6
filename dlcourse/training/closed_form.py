"""ClosedFormStep: a solver under the same face as a step of gradient descent, so that one trainer runs both."""

import contextlib
from collections.abc import Callable
from typing import Any

from dlcourse.autograd import Tensor, lent, no_grad
from dlcourse.backend import capture, tracing


class ClosedFormStep:
    """Solves for all parameters in one step on the whole training split: ``loss = step(x, y)``.

    Args:
        model: a :class:`~dlcourse.models.Model`.
        loss_fn: ``loss_fn(outputs, targets)``, to report; None where the config names none.
        optimizer: has ``solve(model, x, y)``.
    """

    runner = capture.eager

    def __init__(self, model: Any, loss_fn: Callable[[Tensor, Any], Tensor] | None, optimizer: Any):
        self.model, self.loss_fn, self.optimizer = model, loss_fn, optimizer
        self.step = 0
        self.ema = self.swa = None

    def __call__(self, x: Any, y: Any) -> Tensor | None:
        """Solve; returns the loss of the solution, still on the device."""
        tracing.phase("optimizer")
        outputs = self.optimizer.solve(self.model, x, y)
        self.step += 1
        loss = None
        tracing.phase("forward")
        if self.loss_fn is not None:
            with no_grad():
                if outputs is None:
                    loss = self.loss_fn(self.model(lent(x)), y)
                else:
                    loss = self.loss_fn(outputs, y.astype(outputs.dtype, copy=False))
        tracing.phase(None)
        return loss

    @property
    def skipped(self) -> int:
        """Of the steps that overflowed float16: a closed form has none."""
        return 0

    def averaged(self) -> contextlib.AbstractContextManager:
        """There is no average; nothing changes."""
        return contextlib.nullcontext()

    def state_dict(self) -> dict:
        """``{"step": int, "optimizer": {...}}``."""
        return {"step": self.step, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Go on from a state that :meth:`state_dict` gave."""
        self.step = int(state["step"])
        self.optimizer.load_state_dict(state["optimizer"])
