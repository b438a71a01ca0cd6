"""Find the runs that are to be compared, average those that repeat an experiment, sort them."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from dlcourse import registry
from dlcourse.config.config import config_hash
from dlcourse.config.labels import metric_facts
from dlcourse.config.reader import parse_yaml
from dlcourse.errors import ConfigError, DamagedFileError, UserError
from dlcourse.records.check import Wrong, check
from dlcourse.records.reading import read
from dlcourse.records.sweep import PointState
from dlcourse.sweeps.conclusions import status_of_all, summaries
from dlcourse.sweeps.statistics import Summary
from dlcourse.text import canonical, differing_paths, flat_metrics, flatten, metric_keys
from dlcourse.training.folder import RunFolder

_OF_A_RUN = ("config.yaml", "environment.json", "result.json", "metrics.jsonl", "checkpoints")
_FACTS = {"parameters": "parameters", "steps": "step", "epochs": "epoch", "seconds": "seconds"}
"""What is known of a run beside its metrics, and its name in ``result.json``."""
_MEASURED = ("steps", "epochs", "seconds")
_REPEATS = ("data.kfold.fold", "seed", "train.seed", "data.bootstrap")
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
        facts: ``parameters``, ``steps``, ``epochs`` and ``seconds``, as far as they are known.
        repeated: whether it is one of the seeds of a sweep.
        folders: of all runs that it stands for, see :func:`averaged`.
        summaries: of a mean over several runs: its spread, by metric.
    """

    folder: Path
    status: str
    config: dict[str, Any]
    metrics: dict[str, float | None]
    label: str = ""
    problem: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    repeated: bool = False
    folders: tuple[Path, ...] = ()
    summaries: dict[str, Summary] = field(default_factory=dict)

    @property
    def runs(self) -> int:
        """How many runs it stands for."""
        return len(self.folders)


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
    return [replace(record, label=names[folder], folders=(folder,)) for folder, record in found.items()]


def averaged(records: Sequence[Record], average: bool | None = None) -> list[Record]:
    """One record for the runs whose configs differ in seed or fold alone, with means in the place of their metrics.

    Only runs that came to their end count. Damaged runs, and those whose config was changed, stay by themselves; so
    does a run that another one repeats with the same seed, which is no further draw.

    Args:
        average: all such runs, or none; None: the points of a sweep with ``seeds``.
    """
    groups: dict[Any, list[Record]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for record in records:
        wanted = record.repeated if average is None else average
        key: Any = record.folder
        if wanted and record.config and not record.problem:
            which = canonical([record.config.get(path) for path in _REPEATS])
            what = canonical({path: value for path, value in record.config.items() if not _repeats(path)})
            key = (what, seen[what, which])
            seen[what, which] += 1
        groups.setdefault(key, []).append(record)
    return [_mean(group) for group in groups.values()]


def _repeats(path: str) -> bool:
    """Whether a path says which repetition a run is, or what it is called, and not what is tried."""
    return path == "name" or path in _REPEATS


def _mean(group: Sequence[Record]) -> Record:
    first = group[0]
    if len(group) == 1:
        return first
    found = summaries([record.metrics for record in group if record.status == "done"])
    keys = dict.fromkeys(key for record in group for key in record.metrics)
    return replace(
        first,
        status=status_of_all([record.status for record in group]),
        config={path: value for path, value in first.config.items() if not _repeats(path) or path == "name"},
        metrics={key: found[key].mean if key in found else None for key in keys},
        label=_common_label([record.label for record in group]),
        facts=_common_facts([record.facts for record in group]),
        folders=tuple(folder for record in group for folder in record.folders),
        summaries=found,
    )


def _common_label(labels: Sequence[str]) -> str:
    """What the labels share: ``000-degree=3-seed=0`` and those of other seeds are ``degree=3``; else the first."""
    plain = {re.sub(r"(?:^|(?<=/))[0-9]{3,}(-|$)", "", re.sub(r"-(seed|fold)=[0-9]+", "", each)) for each in labels}
    if len(plain) == 1 and (common := plain.pop().strip("/")):
        return common
    return f"{labels[0]} and {len(labels) - 1} more"


def _common_facts(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of numbers that are measured the mean, of others the one that all share."""
    found: dict[str, Any] = {}
    for key in dict.fromkeys(key for each in facts for key in each):
        values = [each[key] for each in facts if each.get(key) is not None]
        if values and (key in _MEASURED or len(set(values)) == 1):
            found[key] = sum(values) / len(values) if key in _MEASURED else values[0]
    return found


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
    section = sweep.config.get("sweep")
    repeated = isinstance(section, dict) and bool(section.get("seeds"))
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
            yield replace(run, status=status, metrics=point.metrics or run.metrics, repeated=repeated)
        else:
            facts = {"parameters": point.parameters, "seconds": point.seconds}
            yield Record(
                place, point.status, overlaid(base, point.overrides), point.metrics, facts=facts, repeated=repeated
            )


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
    facts = {name: result.get(key) for name, key in _FACTS.items()}
    return Record(folder, status, flatten(config), metrics, problem=problem, facts=facts)


def overlaid(flat: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A flat config with overrides in place of all that they replace."""
    result = dict(flat)
    for path, value in overrides.items():
        result = {key: each for key, each in result.items() if key != path and not key.startswith(f"{path}.")}
        result.update(flatten({path: value}))
    return result


def differences(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The paths whose values differ between the configs, without those that are shown anyway, as names or metrics."""
    return [path for path in differing_paths(configs) if path not in ("name", "metrics", "attacks")]


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


def _shorten(places: list[Path]) -> dict[Path, str]:
    """Each folder without what all share; one alone keeps its own name."""
    if len(places) < 2:
        return {place: place.name for place in places}
    common = Path(os.path.commonpath(places))
    # ``<sweep>/points/<id>``: the middle says nothing.
    steps = {place: [step for step in place.relative_to(common).parts if step != "points"] for place in places}
    return {place: "/".join(names) or place.name for place, names in steps.items()}
