"""Checks of the arguments of optimizers and schedules."""

from dlcourse.errors import ArgumentError


def require(condition: bool, message: str) -> None:
    """Raise ArgumentError, a ValueError, with that message where the condition does not hold."""
    if not condition:
        raise ArgumentError(message)


def require_non_negative(**settings: float) -> None:
    """Raise ArgumentError for the first setting that is below 0 or NaN."""
    for name, value in settings.items():
        require(value >= 0, f"{name} has to be at least 0, got {value}")


def require_betas(betas: tuple[float, float]) -> tuple[float, float]:
    """The two decay rates as plain numbers; ArgumentError where one is not in [0, 1)."""
    beta1, beta2 = map(float, betas)
    require(0 <= beta1 < 1 and 0 <= beta2 < 1, f"betas have to lie in [0, 1), got {tuple(betas)}")
    return beta1, beta2
