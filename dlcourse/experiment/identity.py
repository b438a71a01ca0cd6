"""Check that a checkpoint belongs to a run, and that a resumed run changes only what may change."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlcourse.config import Config
from dlcourse.config.config import BESIDE, CHANGEABLE, FILES, LENGTHENING, config_hash, settings
from dlcourse.config.overrides import Overrides, parse_overrides
from dlcourse.data import Data
from dlcourse.data.fingerprint import differences, fingerprint
from dlcourse.errors import ChangedDataError, CheckpointError, ConfigError, Problem
from dlcourse.text import differing_paths, flatten


def check_config(config: Mapping[str, Any], state: Mapping[str, Any], run: Path) -> None:
    """Check that a checkpoint was written under what a run's ``config.yaml`` says now.

    Args:
        config: what the file says, without the defaults of keys that it does not have.
        state: of the checkpoint.
        run: the run's folder.
    Raises:
        CheckpointError: the file was changed; names every value that was.
    """
    if state["config"] == config_hash(config):
        return
    now = settings(config)
    before = state.get("settings") or now  # an earlier version kept none
    paths = differing_paths([before, now])
    changes = [f"{path} is {_shown(now, path)}, trained with {_shown(before, path)}" for path in paths]
    what = f": {'; '.join(changes)}" if changes else ""
    raise CheckpointError(
        f"{run / 'config.yaml'}: was changed after the run was trained under another config{what}; restore it, or "
        "start a new run with the config as it is now"
    )


def check_data(data: Data, state: Mapping[str, Any], run: Path, fix: str) -> None:
    """Check that data are those that a checkpoint was trained on.

    Args:
        data: as they are now.
        state: of the checkpoint; one of an earlier version knows no fingerprint and is taken as it is.
        run: the run's folder.
        mend: what to do, for the message.
    Raises:
        ChangedDataError: names what differs.
    """
    if not state.get("fingerprint"):
        return
    found = differences(state["fingerprint"], fingerprint(data))
    if found:
        source = f" ({data.dataset.source})" if data.dataset.source else ""
        changes = f"{run}: the data{source} changed since this run was trained: {'; '.join(found)}"
        raise ChangedDataError(f"{changes}; {fix}")


def _shown(values: Mapping[str, Any], path: str) -> str:
    return repr(values[path]) if path in values else "not there"


def same_experiment(saved: Config, config: Config) -> dict[str, Any]:
    """Check that a config given beside a run to resume is the run's own, and take from it how long it wants to be.

    Returns:
        What it has larger than the run's among :data:`LENGTHENING`, as overrides.
    Raises:
        ConfigError: it is another experiment; names every difference.
    """
    ours, theirs = flatten(saved.data), flatten(config.data)
    problems = [
        Problem(path, f"{theirs.get(path)}, but the run to resume has {ours.get(path)}")
        for path in sorted(ours.keys() | theirs.keys())
        if path not in BESIDE and ours.get(path) != theirs.get(path) and not _same_file(path, ours, theirs)
    ]
    if problems:
        raise config.locate(ConfigError(problems))
    wanted = {path: theirs.get(path) for path in LENGTHENING}
    return {path: value for path, value in wanted.items() if value and ours.get(path) and value > ours[path]}


def _same_file(path: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether two texts name a file by its place and by its place beside the config."""
    names: tuple[Any, Any] = ours.get(path), theirs.get(path)
    if tuple(path.split(".")) not in FILES or not all(isinstance(name, str) for name in names):
        return False
    return any(one.endswith(f"{os.sep}{other.removeprefix('./')}") for one, other in (names, names[::-1]))


def lengthens(before: Config, after: Config) -> bool:
    """Whether a run that goes on is to become longer than it was to be."""
    was, now = flatten(before.data), flatten(after.data)
    return any(was.get(path) != now.get(path) for path in LENGTHENING)


def extend(config: Config, overrides: Overrides) -> Config:
    """The config of a run that is resumed to go on for longer, or with checkpoints at other steps.

    Raises:
        ConfigError: something else is to change, or the run is to become shorter.
    """
    values, source = parse_overrides(overrides)
    message = (
        f"a resumed run keeps its config; only {', '.join(LENGTHENING)} may be raised and {', '.join(CHANGEABLE)} "
        "changed (or start a new run)"
    )
    problems = [Problem(path, message, source) for path in values if path not in (*LENGTHENING, *CHANGEABLE)]
    if problems:
        raise ConfigError(problems)
    for new, old in (("epochs", "steps"), ("steps", "epochs")):
        length = config.data["train"][old]
        if f"train.{new}" in values and length is not None:
            message = f"this run is as long as train.{old}={length} says; raise that"
            raise ConfigError([Problem(f"train.{new}", message, source)])
    longer = config.apply_overrides(overrides)
    before, after = flatten(config.data), flatten(longer.data)
    for path in values.keys() - set(CHANGEABLE):
        was, now = before.get(path), after.get(path)
        if was is None or now is None or now < was:
            problems.append(Problem(path, f"may only be raised: it was {was}, got {now}", source))
    if problems:
        raise ConfigError(problems)
    return longer
