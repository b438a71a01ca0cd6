"""``dlcourse validate CONFIG ...``: everything that can be checked without reading data.

Data that are drawn and not read, such as spirals, are drawn, and what they and the model ask of each other is checked
as before a run.
"""

import argparse
from typing import Any

HELP = "check configs without running them"
EXAMPLES = "example:\n  dlcourse validate configs/*/*.yaml\n"


MAX_SYNTHETIC_SAMPLES = 20_000
"""Samples up to which data are drawn for the check."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="files to check, and key=value to change in each")


def main(args: argparse.Namespace) -> int:
    import os
    import sys

    from dlcourse import config
    from dlcourse.config.rules import choice_notes
    from dlcourse.errors import ConfigError

    changes = [text for text in args.configs if "=" in text and not os.path.exists(text)]
    wrong = 0
    for path in (text for text in args.configs if text not in changes):
        try:
            checked = config.load(path, changes)
            if checked.data["sweep"]:
                from dlcourse.sweeps.expansion import expand

                expand(checked)
            else:
                _check_drawn(checked)
        except ConfigError as error:
            wrong += 1
            print(f"{path}: {len(error.problems)} problem{'s' if len(error.problems) > 1 else ''}", flush=True)
            print(error, file=sys.stderr, flush=True)
        else:
            print(f"{path}: ok")
            for note in choice_notes(checked.data):
                print(f"{path}: note: {note}")
    return ConfigError.exit_code if wrong else 0


def _check_drawn(config: Any) -> None:
    """Raise ConfigError for what only the data show, where they need not be read."""
    samples = config.data["data"].get("samples")
    if not isinstance(samples, int) or samples > MAX_SYNTHETIC_SAMPLES:
        return
    from dlcourse import backend
    from dlcourse.errors import ConfigError
    from dlcourse.experiment.pieces import assemble

    with backend.use("cpu") as cpu:
        try:
            assemble(config.data, cpu)
        except ConfigError as error:
            raise config.locate(error) from error
