"""Compare runs: the values in which their configs differ, and their results."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlcourse import registry
from dlcourse.config.config import config_hash
from dlcourse.config.reader import parse_yaml
from dlcourse.config.rules import metric_facts
from dlcourse.errors import ConfigError, DamagedFileError, UserError
from dlcourse.records.check import Wrong, check
from dlcourse.records.reading import read
from dlcourse.records.sweep import PointState
from dlcourse.sweeps.table import Column, metric_columns, render
from dlcourse.text import (
    csv_text,
    differing_paths,
    flat_metrics,
    flatten,
    format_number,
    format_value,
    metric_keys,
    short_paths,
)
from dlcourse.training.folder import RunFolder

_OF_A_RUN = ("config.yaml", "environment.json", "result.json", "metrics.jsonl", "checkpoints")
DAMAGED, CHANGED = "damaged", "changed"


@dataclass(frozen=True)
class Record:
    """One run as it is compared.

    Attributes:
        folder: where it lies, or would lie.
        status: "done", "running", "failed", ..., "pending" for a sweep's point that has no folder yet, and
            "unfinished" for a run that was killed before it could say anything.
        config: dotted path to value.
        metrics: ``{"val.mse": 0.1}``.
        label: its folder, as short as tells it apart.
        problem: what is wrong with its files, a sentence; such a run is ``damaged``, or ``changed`` where its
            ``config.yaml`` is no longer what it was trained under.
    """

    folder: Path
    status: str
    config: dict[str, Any]
    metrics: dict[str, float | None]
    label: str = ""
    problem: str = ""


def collect(paths: Iterable[str | os.PathLike]) -> list[Record]:
    """The runs in these folders: runs themselves, sweeps (each point), or folders that hold any of them, at any depth.

    One whose files are damaged is there with what is known of it, see :class:`Record`.

    Raises:
        UserError: a path does not exist or holds no run, or all of them are damaged.
    """
    found: dict[Path, Record] = {}
    for path in map(Path, paths):
        if not path.is_dir():
            raise UserError(f"{path}: no such folder")
        folders = list(_folders(Path(os.path.abspath(path))))
        if not folders:
            raise UserError(f"{path}: holds no run and no sweep")
        found.update((record.folder, record) for folder in folders for record in _records(folder))
    if found and all(record.status == DAMAGED for record in found.values()):
        raise DamagedFileError("\n".join(record.problem for record in found.values()))
    names = _shorten(list(found))
    return [replace(record, label=names[folder]) for folder, record in found.items()]


def _folders(path: Path) -> Iterator[Path]:
    """Sweeps and runs at or below a path, in order; what lies within one of them is its own affair."""
    if (path / "sweep.json").is_file() or _is_run(path):
        yield path
        return
    for child in sorted(path.iterdir()):
        if child.is_dir() and not child.name.startswith(".") and not child.is_symlink():
            yield from _folders(child)


def _is_run(path: Path) -> bool:
    """Whether a folder holds a run, of which a file may be missing."""
    return sum((path / name).exists() for name in _OF_A_RUN) > 1


def _records(folder: Path) -> Iterator[Record]:
    try:
        yield from _sound_records(folder)
    except DamagedFileError as error:
        yield Record(folder, DAMAGED, {}, {}, problem=str(error))


def _sound_records(folder: Path) -> Iterator[Record]:
    if not (folder / "sweep.json").is_file():
        yield _run_record(folder)
        return
    sweep = read(folder / "sweep.json", _Sweep)
    base = flatten({key: value for key, value in sweep.config.items() if key != "sweep"})
    for index, each in enumerate(sweep.points):
        try:
            point: PointState = check(each, PointState, f"points.{index}")
        except Wrong as error:
            problem = f"{folder / 'sweep.json'}: damaged: {error}"
            yield Record(folder / f"points/{index:03d}", DAMAGED, {}, {}, problem=problem)
            continue
        place = folder / (point.folder or f"points/{point.id}")
        if _is_run(place):
            (run,) = _records(place)
            status = run.status if run.problem else point.status
            yield replace(run, status=status, metrics=point.metrics or run.metrics)
        else:
            yield Record(place, point.status, overlaid(base, point.overrides), point.metrics)


@dataclass
class _Sweep:
    """What is read of a ``sweep.json``; each point is checked by itself."""

    config: dict[str, Any]
    points: list[Any]


def _run_record(folder: Path) -> Record:
    run = RunFolder(folder)
    try:
        config = parse_yaml(run.config.read_text(encoding="utf-8"), str(run.config)).data
    except (ConfigError, ValueError, OSError, RecursionError) as error:
        reason = str(error).splitlines()[0].removeprefix(f"{run.config}:").lstrip()  # once is enough
        raise DamagedFileError(f"{run.config}: damaged: {reason}") from error
    if not isinstance(config, dict):
        raise DamagedFileError(f"{run.config}: damaged: not a mapping")
    result = run.read_result()
    metrics = flat_metrics(result.get("metrics") or {})
    status: str = result.get("status", "unfinished")
    problem = ""
    if "config_hash" in result and result["config_hash"] != config_hash(config):
        status, problem = CHANGED, f"{run.config}: was changed after the run, which was trained under another config"
    return Record(folder, status, flatten(config), metrics, problem=problem)


def overlaid(flat: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A flat config with overrides in place of all that they replace."""
    result = dict(flat)
    for path, value in overrides.items():
        result = {key: each for key, each in result.items() if key != path and not key.startswith(f"{path}.")}
        result.update(flatten({path: value}))
    return result


def differences(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths whose values differ between the configs; ``name`` does not count."""
    return [path for path in differing_paths(configs) if path != "name"]


def sorted_by(records: list[Record], metric: str) -> list[Record]:
    """Best first by ``val.mse``, or by ``mse`` of the first split of val, test, train that has it; without last.

    Raises:
        UserError: no run has that metric; says the nearest and all.
    """
    pairs = metric_keys([record.metrics for record in records])
    keys = {f"{split}.{name}" for name, split in pairs}
    wanted = [metric] if "." in metric else [f"{split}.{metric}" for split in ("val", "test", "train")]
    key = next((each for each in wanted if each in keys), None)
    if key is None:
        hint = registry.did_you_mean(metric, [*keys, *(name for name, _ in pairs)])
        known = ", ".join(f"{split}.{name}" for name, split in pairs) or "none"
        raise UserError(f"--sort {metric}: no run has that metric{hint}; there are: {known}")
    sign = -1.0 if metric_facts(key.split(".", 1)[1])["higher_is_better"] else 1.0

    def rank(record: Record) -> tuple[bool, float]:
        value = record.metrics.get(key)
        return (True, 0.0) if value is None or value != value else (False, sign * value)

    return sorted(records, key=rank)


def comparison(records: Sequence[Record], width: int) -> str:
    """The table as text: one line a run, or one column a run where the lines do not fit into ``width`` and that is
    narrower: for few runs that differ in much."""
    paths = differences([record.config for record in records if record.status != DAMAGED])
    names = short_paths(paths)
    columns = [Column("run", [record.label for record in records], left=True)]
    columns.append(Column("status", [record.status for record in records], left=True))
    columns += [Column(names[path], [_value(record, path) for record in records], left=True) for path in paths]
    columns += metric_columns([record.metrics for record in records])
    text = render(columns)
    if _width(text) <= width:
        return text
    rows = [f"{column.group} {column.name}".strip() for column in columns[1:]]
    turned = [Column("", rows, left=True)]
    turned += [Column(record.label, [c.cells[i] for c in columns[1:]]) for i, record in enumerate(records)]
    return min(text, render(turned), key=_width)


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))


def comparison_csv(records: Sequence[Record]) -> str:
    """The same as CSV, one line a run, full paths and full precision."""
    paths = differences([record.config for record in records if record.status != DAMAGED])
    keys = [f"{split}.{name}" for name, split in metric_keys([record.metrics for record in records])]
    rows = [
        [each.label, each.status, *(each.config.get(path) for path in paths), *(each.metrics.get(key) for key in keys)]
        for each in records
    ]
    return csv_text(["run", "status", *paths, *keys], rows)


def _value(record: Record, path: str) -> str:
    if path not in record.config:
        return "-"
    value = record.config[path]
    return format_number(value) if isinstance(value, float) else format_value(value)


def _shorten(places: list[Path]) -> dict[Path, str]:
    """Each folder without what all share; one alone keeps its own name."""
    if len(places) < 2:
        return {place: place.name for place in places}
    common = Path(os.path.commonpath(places))
    # ``<sweep>/points/<id>``: the middle says nothing.
    steps = {place: [step for step in place.relative_to(common).parts if step != "points"] for place in places}
    return {place: "/".join(names) or place.name for place, names in steps.items()}
