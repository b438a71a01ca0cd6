"""The values of a config that identify a run, and their hash."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from dlcourse.text import flatten

LENGTHENING = ("train.epochs", "train.steps", "train.early_stopping.patience")
"""What may be raised when a run is resumed: it changes when training ends, not what a step does."""

BESIDE = (*LENGTHENING, "name", "device", "train.checkpoint_every")
"""Paths that make no difference to what a step does."""


def config_hash(config: Mapping[str, Any]) -> str:
    """A hash of all in a resolved config that a step depends on.

    Where it runs and when it ends is left out, and so is how often it is saved.
    """
    return hashlib.sha256(json.dumps(settings(config), sort_keys=True).encode()).hexdigest()


def settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """All in a resolved config that a step depends on, by dotted path."""
    return {path: value for path, value in flatten(config).items() if path not in BESIDE}
