"""The table of compared runs: which columns it has, and how it is written as text, CSV, Markdown and LaTeX."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcourse import registry
from dlcourse.errors import UserError
from dlcourse.sweeps.compare import DAMAGED, Record, differences
from dlcourse.sweeps.formats import latex, markdown
from dlcourse.sweeps.table import Column, render, spans
from dlcourse.text import SPLITS, csv_text, format_number, format_value, metric_keys, short_paths

_FACTS = ("parameters", "steps", "epochs", "seconds")


@dataclass(frozen=True)
class Field:
    """A column: ``kind`` says what of a record stands in it, ``key`` which; ``name`` and ``group`` are its heading."""

    kind: str
    key: str
    name: str
    group: str = ""

    def value(self, record: Record) -> Any:
        """What a record has in this column; None where it has nothing."""
        if self.kind == "config":
            return record.config.get(self.key)
        if self.kind == "metric":
            return record.metrics.get(self.key)
        if self.kind == "fact":
            return record.facts.get(self.key)
        return getattr(record, self.key)


_RUN, _STATUS, _RUNS = (
    Field("record", key, name) for key, name in (("label", "run"), ("status", "status"), ("runs", "n"))
)


def fields(records: Sequence[Record], chosen: Sequence[str] = ()) -> list[Field]:
    """The columns of a table.

    Args:
        chosen: names of columns in their order: ``run``, ``status``, ``n``, a path of the config or its end
            (``model.degree``, ``degree``), a metric (``val.mse``, ``mse`` for each split, ``val``
            for all of that split), ``parameters``,
            ``steps``, ``epochs``, ``seconds``. By default run, status, the values in which the configs differ, and
            all metrics.
    Raises:
        UserError: there is no such column, or it could be several; says the nearest and all.
    """
    sound = [record.config for record in records if record.status != DAMAGED]
    metrics = [Field("metric", f"{split}.{name}", split, name) for name, split in _measured(records)]
    repeated = [_RUNS] if any(record.runs > 1 for record in records) else []
    if not chosen:
        return [_RUN, _STATUS, *_of_configs(differences(sound)), *repeated, *metrics]
    every = list(dict.fromkeys(path for config in sound for path in config))
    found: list[Field] = []
    for name in chosen:
        found += _named(name, every, metrics)
    short = short_paths(field.key for field in found if field.kind == "config")
    return [replace(each, name=short[each.key]) if each.kind == "config" else each for each in dict.fromkeys(found)]


def _measured(records: Sequence[Record]) -> list[tuple[str, str]]:
    return metric_keys([record.metrics for record in records])


def _of_configs(paths: Sequence[str]) -> list[Field]:
    names = short_paths(paths)
    return [Field("config", path, names[path]) for path in paths]


def _named(name: str, paths: Sequence[str], metrics: Sequence[Field]) -> list[Field]:
    """The columns of a name."""
    others = {"run": _RUN, "status": _STATUS, "n": _RUNS, **{fact: Field("fact", fact, fact) for fact in _FACTS}}
    if name in paths:
        return [Field("config", name, name)]
    if measured := [field for field in metrics if name in (field.key, field.group, field.name)]:
        return measured
    if name in others:
        return [others[name]]
    if name in ("seed", "fold", "data.kfold.fold"):
        raise UserError(f"--columns {name}: these runs are averaged; --no-average shows each of them")
    ends = [] if name in (*SPLITS, "name") else [path for path in paths if path.endswith(f".{name}")]
    if len(ends) > 1:
        raise UserError(f"--columns {name}: could be any of {', '.join(ends)}; give one of these")
    if ends:
        return [Field("config", ends[0], name)]
    known = [*others, *dict.fromkeys(field.group for field in metrics), *(field.key for field in metrics)]
    hint = registry.did_you_mean(name, [*known, *paths, *short_paths(paths).values()])
    also = "and the values of their configs, such as optimizer.lr or lr"
    raise UserError(f"--columns {name}: no run has that{hint}; there are: {', '.join(known)}; {also}")


def columns(records: Sequence[Record], shown: Sequence[Field]) -> list[Column]:
    """The columns as texts; a mean over several runs has its standard deviation beside it and its standard error in a
    column of its own."""
    found = []
    for field in shown:
        if field.kind != "metric":
            left = field.kind != "fact" and field is not _RUNS
            found.append(Column(field.name, [_text(field, record) for record in records], left=left))
            continue
        spreads = [record.summaries.get(field.key) for record in records]
        means = [format_number(field.value(record)) for record in records]
        if not any(record.summaries for record in records):
            found.append(Column(field.name, means, group=field.group))
            continue
        cells = []
        for mean, spread, record in zip(means, spreads, records, strict=True):
            sd = "" if spread is None or spread.sd is None else f" ± {spread.sd:.2g}"
            fewer = f" (n = {spread.n})" if spread is not None and spread.n < record.runs else ""
            cells.append(mean + sd + fewer)
        errors = [format_number(None if each is None else each.se, 2) for each in spreads]
        found += [Column(f"{field.name} mean ± sd", cells, group=field.group), Column("se", errors, group=field.group)]
    return found


def _text(field: Field, record: Record) -> str:
    value = field.value(record)
    if field.kind == "config" and field.key not in record.config or field.kind == "fact" and value is None:
        return "-"
    if isinstance(value, float):
        return format_number(value)
    return format_value(value)


def labels(records: Sequence[Record]) -> list[str]:
    """A name for each record in a legend: the values that set it apart, where they are few, else its folder."""
    shown = _of_configs(differences([record.config for record in records]))
    found = [", ".join(f"{field.name}={_text(field, record)}" for field in shown) for record in records]
    good = 0 < len(shown) <= 3 and len(set(found)) == len(found) and max(map(len, found)) <= 60
    return found if good else [record.label for record in records]


def as_text(records: Sequence[Record], width: int, shown: Sequence[Field] | None = None) -> str:
    """The table as text: one line a run; where that does not fit into ``width``, one column a run, for few runs that
    differ in much; where that does not fit either, columns one below the other in blocks, each with the runs' names."""
    shown = fields(records) if shown is None else shown
    found = columns(records, shown)
    text = render(found)
    if _width(text) <= width or found[0].name != "run":
        return text
    rows = [f"{column.group} {column.name}".strip() for column in found[1:]]
    turned = [Column("", rows, left=True)]
    turned += [Column(record.label, [c.cells[i] for c in found[1:]]) for i, record in enumerate(records)]
    across = render(turned)
    return across if _width(across) <= width else "\n\n".join(map(render, _blocks(found, width)))


def _blocks(found: Sequence[Column], width: int) -> list[list[Column]]:
    """The columns in parts that fit into ``width``, each behind the first column; those of one metric stay together."""
    blocks = [[found[0]]]
    for start, stop in spans(found)[1:]:
        group = list(found[start:stop])
        if len(blocks[-1]) > 1 and _width(render([*blocks[-1], *group])) > width:
            blocks.append([found[0]])
        blocks[-1] += group
    return blocks


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))


def as_csv(records: Sequence[Record], shown: Sequence[Field] | None = None) -> str:
    """The same as CSV, one line a run, full paths and full precision; of a mean over several runs also the standard
    deviation, standard error and number of runs: ``val.mse.mean``, ``val.mse.sd``, ``val.mse.se``, ``val.mse.n``."""
    shown = fields(records) if shown is None else shown
    spread = any(record.summaries for record in records)
    header: list[str] = []
    for field in shown:
        several = spread and field.kind == "metric"
        name = field.key if field.kind in ("config", "metric") else field.name
        header += [f"{name}.{each}" for each in ("mean", "sd", "se", "n")] if several else [name]
    rows = [[cell for field in shown for cell in _cells(field, record, spread)] for record in records]
    return csv_text(header, rows)


def _cells(field: Field, record: Record, spread: bool) -> list[Any]:
    value = field.value(record)
    if field.kind != "metric" or not spread:
        return [value]
    found = record.summaries.get(field.key)
    if found is None:
        return [value, None, None, 0 if value is None else 1]
    return [found.mean, found.sd, found.se, found.n]


def as_markdown(records: Sequence[Record], shown: Sequence[Field] | None = None) -> str:
    """The same as a table of GitHub's Markdown."""
    return markdown(columns(records, fields(records) if shown is None else shown))


def as_latex(records: Sequence[Record], shown: Sequence[Field] | None = None) -> str:
    """The same as a ``tabular`` of LaTeX, with the rules of its package booktabs."""
    return latex(columns(records, fields(records) if shown is None else shown))


WRITERS: Mapping[str, Callable[..., str]] = {".csv": as_csv, ".md": as_markdown, ".tex": as_latex}
"""How a table is written to a file, by the ending of its name."""


def writer(name: str) -> Callable[..., str]:
    """What writes a table into a file of this name.

    Raises:
        UserError: by its ending it is no table.
    """
    ending = Path(name).suffix.lower()
    if ending not in WRITERS:
        raise UserError(f"--to {name}: expected a name that ends in {', '.join(WRITERS)}, or - to print CSV")
    return WRITERS[ending]
