"""Which values of images are black, and which are white."""

__all__ = ["black_and_white"]


def black_and_white(smallest: float, largest: float) -> tuple[float, float]:
    """Black and white of images whose values go from ``smallest`` to ``largest``.

    Black is 0, or the least value where there are negative ones; white is 255 where the values are bytes, else the
    largest.
    """
    black = min(0.0, float(smallest))
    white = 255.0 if largest > 127 else float(largest)
    return black, white if white > black else black + 1
