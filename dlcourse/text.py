"""Results in words: numbers, values, dotted paths and text tables, the same in a terminal, a file and a report."""

import inspect
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

SPLITS = ("train", "val", "test")
_UNITS = (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20))


def format_number(value: float | None, digits: int = 4) -> str:
    """So many significant digits, ``0.03125`` or ``1.2e-07``; a dash where there is no value."""
    return "-" if value is None else f"{value:.{digits}g}"


def format_bytes(count: int) -> str:
    """``1.25 GiB``, ``310 MiB``: three digits, or all before the point where these are more."""
    unit, size = next(((unit, size) for unit, size in _UNITS if count >= size), _UNITS[-1])
    amount = count / size
    return f"{amount:,.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"


def shorten_exponent(text: str) -> str:
    """``1e-05`` -> ``1e-5``."""
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else text


def format_value(value: Any, exact: bool = True) -> str:
    """A value of a config: ``0.001``, ``none``, ``128x64``, ``mse+r2``, ``adam(lr=0.01)``; a fold by its number.

    Args:
        exact: numbers with all their digits, so that two values have two texts; else six digits, ``1e-6``, and
            ``10 times 50`` for a number that repeats.
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return shorten_exponent(short) if not exact else short if float(short) == value else repr(value)
    if isinstance(value, Mapping):
        if set(value) == {"folds", "fold"}:
            return str(value["fold"])
        rest = ", ".join(f"{key}={format_value(item, exact)}" for key, item in value.items() if key != "name")
        name = str(value.get("name", ""))
        return f"{name}({rest})" if rest else name
    if isinstance(value, list | tuple):
        numbers = all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
        if numbers and not exact and len(value) > 3 and len(set(value)) == 1:
            return f"{len(value)} times {format_value(value[0], exact)}"
        return ("x" if numbers else "+").join(format_value(item, exact) for item in value) or "[]"
    return str(value)


def metric_keys(rows: Iterable[Mapping[str, Any]], metrics: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Every (metric, split) that any row has, metrics in the config's order and splits train, val, test."""
    found = {key for row in rows for key in row}
    pairs = [(key.split(".", 1)[1], key.split(".", 1)[0]) for key in sorted(found) if "." in key]
    order = {name: index for index, name in enumerate(metrics)}

    def rank(pair: tuple[str, str]) -> tuple[int, str, int]:
        metric, split = pair
        return order.get(metric, len(order)), metric, SPLITS.index(split) if split in SPLITS else len(SPLITS)

    return sorted(pairs, key=rank)


def metric_unit(of_metric: str, of_target: str) -> str:
    """A metric's unit with the target's own in place of the word ``target``; empty where that has none."""
    if "target" not in of_metric:
        return of_metric
    return of_metric.replace("target", of_target) if of_target else ""


def show_value(value: Any) -> str:
    """A value of a config as a figure and a report show it: as :func:`format_value`, in few digits."""
    return format_value(value, exact=False)


def canonical(value: Any) -> str:
    """A text that two values share only if they are the same value of the same type: 1, 1.0 and true are three."""
    return json.dumps(value, sort_keys=True, default=repr)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted paths; lists and empty sections are values."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        path = f"{prefix}{key}"
        flat |= flatten(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return flat


def differing_paths(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths whose values differ between flat configs, types included; one that only some of them have differs."""
    paths = dict.fromkeys(path for config in configs for path in config)
    values = {path: {canonical(config[path]) if path in config else None for config in configs} for path in paths}
    return [path for path in paths if len(values[path]) > 1]


def flat_metrics(splits: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Metrics by split and label as ``{"val.mse": 0.1}``."""
    return {f"{split}.{label}": value for split, metrics in splits.items() for label, value in metrics.items()}


def short_paths(paths: Iterable[str]) -> dict[str, str]:
    """The shortest ending of each path that no other path shares: ``model.degree`` -> ``degree``.

    ``data.kfold`` is called ``fold``; a bare ``name`` says nothing, and a bare ``train`` would be taken for a split, so
    ``model.name`` stays as it is and ``data.limit.train`` becomes ``limit.train``.
    """
    endings = {path: ["fold"] if path == "data.kfold" else _endings(path) for path in paths}
    chosen = {}
    for path, own in endings.items():
        others = {ending for other, theirs in endings.items() if other != path for ending in theirs}
        chosen[path] = next((ending for ending in own if ending not in others), path)
    return chosen


def _endings(path: str) -> list[str]:
    parts = path.split(".")
    shortest = 2 if parts[-1] in ("name", "train", "val", "test") else 1
    return [".".join(parts[-count:]) for count in range(shortest, len(parts) + 1)] or [path]


def leading_comment(text: str) -> str:
    """The comment at the top of a config, without its ``#``: what the experiment shows and how to run it."""
    comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
    lines = (line.lstrip("#").strip() for line in comment)
    return "\n".join(line for line in lines if not line.startswith("yaml-language-server:")).strip()


def without_figures(comment: str) -> str:
    """The comment of a config without the paragraph that says what it shows, ``Shows: test accuracy 0.921.``"""
    return re.sub(r"^Shows:.*\n?(.+\n?)*", "", comment, flags=re.MULTILINE).strip()


def table(rows: Sequence[Sequence[str]], left: int | Sequence[bool] = 1, widths: Sequence[int] = ()) -> str:
    """Rows of cells in columns two spaces apart, without spaces at a line's end.

    Args:
        left: how many columns, or which, are flush left; the others are flush right.
        widths: of the columns; by default that of the longest cell.
    """
    count = max(map(len, rows), default=0)
    flush_left = [column < left for column in range(count)] if isinstance(left, int) else left
    widths = [max(len(text) for text in column) for column in zip(*rows, strict=True)] if not widths else widths
    lines = []
    for row in rows:
        cells = zip(row, widths, flush_left, strict=True)
        lines.append("  ".join(text.ljust(width) if to_left else text.rjust(width) for text, width, to_left in cells))
    return "\n".join(line.rstrip() for line in lines)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Rows as RFC 4180 text: numbers at full precision, nothing for None, lists and mappings as JSON.

    Texts stay as the data have them, control characters too, so that a reader finds what was there; only what is shown
    on a terminal is made visible.
    """
    import csv  # late: few commands write a table
    import io

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([_csv_cell(value) for value in row])
    return buffer.getvalue()


def _csv_cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value)
    return repr(value) if isinstance(value, float) else value


def call_text(made: Any) -> str:
    """``SGD(lr=0.1, momentum=0.9)``: an object by the constructor's arguments that it keeps under their names."""
    shown = []
    for name in inspect.signature(type(made)).parameters:
        value = vars(made).get(name)
        if isinstance(value, bool | int | float | str | tuple | list):
            shown.append(f"{name}={value!r}")
    return f"{type(made).__name__}({', '.join(shown)})"
