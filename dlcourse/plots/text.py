"""Numbers, names and units as a reader wants them."""

import math
from typing import Any

from dlcourse.text import shorten_exponent

_WORDS = {"lr": "learning rate", "l1": "L1", "l2": "L2", "name": "setting"}


def number(value: Any, digits: int = 4) -> str:
    """A number to so many significant digits: ``0.03125``, ``12,345``, ``1.2e-07``; an em dash for none."""
    if value is None or isinstance(value, str):
        return value or "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    value = float(value)
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}".replace("-", "−")
    if abs(value) >= 10 ** (digits - 1) and abs(value) < 1e7:
        return f"{value:,.0f}".replace("-", "−")
    return shorten_exponent(f"{value:.{digits}g}").replace("-", "−", int(value < 0))


_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def power_of_ten(value: float) -> str:
    """A tick of a log scale: ``10⁻³``; what is no power of ten as a number."""
    exponent = round(math.log10(value)) if value > 0 else 0
    exact = value > 0 and math.isclose(value, 10.0**exponent, rel_tol=1e-9)
    return "10" + str(exponent).translate(_SUPERSCRIPTS) if exact else f"{value:g}"


def label(name: str) -> str:
    """A name that stands in a legend, which leaves out what begins with ``_``."""
    return f" {name}" if name.startswith("_") else name


def percent(share: float) -> str:
    """``97.3 %``; without decimals where they say nothing."""
    value = 100 * share
    return f"{value:.0f} %" if abs(value - round(value)) < 0.05 else f"{value:.1f} %"


def seconds(value: Any) -> str:
    """A duration: ``0.42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return "—"
    if value < 60:
        return f"{value:.3g} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def named(name: str, unit: str = "") -> str:
    """An axis name with its unit: ``monthly rent (dollars)``."""
    return f"{name} ({unit})" if unit else name


def with_unit(value: float, unit: str) -> str:
    """``312 dollars``, or the bare number."""
    return f"{number(value, 3)} {unit}".rstrip()


def clip(text: str, max_length: int = 24) -> str:
    """The text, cut to so many characters."""
    return text if len(text) <= max_length else text[: max_length - 1].rstrip() + "…"


def capital(text: str) -> str:
    """The text with its first letter large."""
    return text[:1].upper() + text[1:]


def axis_name(path: str) -> str:
    """What a swept path is called in a sentence: ``model.degree`` -> degree, ``optimizer.lr`` -> learning rate."""
    if path in SAMPLE_PATHS:
        return "training samples"
    parts = path.split(".")
    word = parts[-2] if parts[-1] == "name" and len(parts) > 1 else parts[-1]
    return _WORDS.get(word, word.replace("_", " "))


def axis_label(path: str) -> str:
    """The name on an axis of a sweep: in words, with the config's own path where that says more."""
    name = axis_name(path)
    return name if name == path or path == "data.samples" else f"{name}  [{path}]"


SAMPLE_PATHS = ("data.limit.train", "data.samples", "data.split.train")
"""Paths that set how many samples a model learns from."""
