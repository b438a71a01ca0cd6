"""``dlcourse validate CONFIG ...``: everything that can be checked without loading data."""

import argparse

HELP = "check configs without running them"
EXAMPLES = "example:\n  dlcourse validate configs/*/*.yaml\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="files to check")


def main(args: argparse.Namespace) -> int:
    import sys

    from dlcourse.errors import ConfigError

    wrong = 0
    for path in args.configs:
        try:
            _check(path)
        except ConfigError as error:
            wrong += 1
            print(f"{path}: {len(error.problems)} problem{'s' if len(error.problems) > 1 else ''}")
            print(error, file=sys.stderr, flush=True)
        else:
            print(f"{path}: ok")
    return ConfigError.exit_code if wrong else 0


def _check(path: str) -> None:
    from dlcourse import config

    checked = config.load(path)
    if checked.data["sweep"]:
        from dlcourse.errors import ConfigError
        from dlcourse.sweeps.axes import axes

        try:
            axes(checked.data["sweep"], checked.data["seed"])
        except ConfigError as error:
            raise checked.locate(error) from None
