"""Which run a checkpoint belongs to, and what may change when a run goes on."""

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dlcourse.config import Config
from dlcourse.config.overrides import Overrides, parse_overrides
from dlcourse.errors import ConfigError, Problem

LENGTHENING = ("train.epochs", "train.steps", "train.early_stopping.patience")
"""What may be raised when a run is resumed: it changes when training ends, not what a step does."""

_BESIDE = ("name", "device")


def config_hash(config: Mapping[str, Any]) -> str:
    """A hash of all in a resolved config that a step depends on.

    Where it runs and when it ends is left out, and so is how often it is saved.
    """
    relevant = copy.deepcopy({key: value for key, value in config.items() if key not in _BESIDE})
    for path in (*LENGTHENING, "train.checkpoint_every"):
        section, _, key = path.rpartition(".")
        holder = relevant
        for part in section.split("."):
            holder = (holder or {}).get(part)
        (holder or {}).pop(key, None)
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def lengthened(config: Config, overrides: Overrides) -> Config:
    """The config of a run that is resumed to go on for longer.

    Raises:
        ConfigError: something else is to change, or the run is to become shorter.
    """
    values, source = parse_overrides(overrides)
    problems = []
    for path in values:
        if path not in LENGTHENING:
            may = ", ".join(LENGTHENING)
            said = f"a resumed run keeps its config; only {may} may be raised (or start a new run)"
            problems.append(Problem(path, said, source))
    if problems:
        raise ConfigError(problems)
    longer = config.apply_overrides(overrides)
    for path in values:
        before, after = (_value(each.data, path) for each in (config, longer))
        if before is None or after is None or after < before:
            problems.append(Problem(path, f"may only be raised: it was {before}, got {after}", source))
    if problems:
        raise ConfigError(problems)
    return longer


def _value(config: Any, path: str) -> Any:
    for part in path.split("."):
        config = (config or {}).get(part)
    return config
