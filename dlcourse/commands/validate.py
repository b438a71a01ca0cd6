"""``dlcourse validate CONFIG ...``: everything that can be checked at once.

Data that are drawn, such as spirals, are drawn, and small files are read; what these data and the model ask of each
other is checked as before a run. Large files are not read. A file that is not there is no mistake of the config; a note
names it.
"""

import argparse
from collections.abc import Iterable, Iterator
from typing import Any

HELP = "check configs without running them"
EXAMPLES = "example:\n  dlcourse validate configs/*/*.yaml\n"


MAX_SYNTHETIC_SAMPLES = 20_000
"""Samples up to which data are drawn for the check."""

MAX_FILE_BYTES = 2**20
"""Size up to which a data file is read for the check."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="files to check, and key=value to change in each")


def main(args: argparse.Namespace) -> int:
    import sys

    from dlcourse import config
    from dlcourse.config.notes import config_notes
    from dlcourse.config.overrides import is_override
    from dlcourse.errors import ConfigError, UserError
    from dlcourse.resources import is_assignment, shipped_assignments

    changes = [text for text in args.configs if is_override(text)]
    paths = [text for text in args.configs if not is_override(text)]
    if not paths:
        raise UserError(f"validate needs a config beside {' '.join(changes)}")
    wrong = 0
    for path in paths:
        steps, runs = None, []
        try:
            if is_assignment(path) or path in shipped_assignments():
                from dlcourse.grading.assignment import find_assignment, load_assignment

                assignment = load_assignment(find_assignment(path))
                count, points = len(assignment.cases), assignment.max_score
                print(f"{path}: ok, an assignment: {count} cases, {points:g} points")
                continue
            checked = config.load(path, changes)
            if checked.data["sweep"]:
                from dlcourse.sweeps.expansion import expand

                runs = [point.config.data for point in expand(checked)]
            else:
                steps = _check_data(checked)
        except UserError as error:
            wrong += 1
            count = len(getattr(error, "problems", [error]))
            print(f"{path}: {count} problem{'s' if count > 1 else ''}", flush=True)
            print(error, file=sys.stderr, flush=True)
        else:
            print(f"{path}: ok")
            missing = [note for _, note in _missing([checked.data, *runs])]
            for note in (*missing, *config_notes(checked.data, steps)):
                print(f"{path}: note: {note}")
    return ConfigError.exit_code if wrong else 0


def _check_data(config: Any) -> int | None:
    """Raise UserError for what only the data show, where they are quickly drawn or read, and for trained weights that
    are no such; how many steps a run takes."""
    quick = _quick(config.data["data"])
    later = any(path.startswith(("train.", "attacks.")) for path, _ in _missing([config.data]))
    if not quick and (later or not any(_trained(config.data))):
        return None
    from dlcourse import backend
    from dlcourse.errors import ConfigError
    from dlcourse.experiment import Experiment, attacking, initial_weights

    with backend.use("cpu") as cpu:
        if quick:
            return Experiment.from_config(config, cpu, goes_on=later).total_steps
        try:
            attacking.Attacks.of(config.data, "cpu")
            initial_weights.named_by(config.data["train"])
        except ConfigError as error:
            raise config.locate(error) from error
    return None


def _trained(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Where a config names trained weights, and what it names."""
    attacks = {f"attacks.{i}.source": attack["source"] for i, attack in enumerate(config["attacks"])}
    named = {"train.init_from": config["train"]["init_from"], **attacks}
    yield from ((path, name) for path, name in named.items() if name is not None)


def _missing(configs: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Where configs name files, or runs, that a run would not find, and a note of each."""
    from dlcourse.data.files import MissingDataError, find

    named: dict[tuple[str, str], str] = {}
    for config in configs:
        data = {f"data.{key}": config["data"].get(key) for key in ("path", "test_path")}
        files = [(path, name) for path, name in data.items() if isinstance(name, str)]
        named |= dict.fromkeys(files, "; what only the data show is not checked")
        named |= dict.fromkeys(_trained(config), "; a run needs it")
    for (path, name), more in named.items():
        try:
            find(name, folders=True)
        except MissingDataError as error:
            what = str(error) if path.startswith("data.") else f"there is no run folder and no file {name}"
            yield path, f"{path}: {what}{more}"


def _quick(section: dict[str, Any]) -> bool:
    """Whether a data section stands for few samples that are drawn, or for small files that are there."""
    from dlcourse.data.files import find
    from dlcourse.errors import DataError

    if isinstance(samples := section.get("samples"), int):
        return samples <= MAX_SYNTHETIC_SAMPLES
    names = [name for key in ("path", "test_path") if isinstance(name := section.get(key), str)]
    try:
        return bool(names) and all(find(name).stat().st_size <= MAX_FILE_BYTES for name in names)
    except DataError:
        return False
