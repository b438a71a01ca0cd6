"""``dlcourse validate CONFIG ...``: everything that can be checked without loading data."""

import argparse

HELP = "check configs without running them"
EXAMPLES = "example:\n  dlcourse validate configs/*/*.yaml\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="files to check")


def main(args: argparse.Namespace) -> int:
    import sys

    from dlcourse import config
    from dlcourse.config.rules import choice_notes
    from dlcourse.errors import ConfigError

    wrong = 0
    for path in args.configs:
        try:
            checked = config.load(path)
            if checked.data["sweep"]:
                from dlcourse.sweeps.expansion import expand

                expand(checked)
        except ConfigError as error:
            wrong += 1
            print(f"{path}: {len(error.problems)} problem{'s' if len(error.problems) > 1 else ''}", flush=True)
            print(error, file=sys.stderr, flush=True)
        else:
            print(f"{path}: ok")
            for note in choice_notes(checked.data):
                print(f"{path}: note: {note}")
    return ConfigError.exit_code if wrong else 0
