"""``dlcourse schema``: the JSON Schema of a config."""

import argparse

HELP = "print the JSON Schema of a config, with which an editor completes and checks it"
EXAMPLES = """\
example:
  dlcourse schema > dlcourse.schema.json
Then the first line of a config tells VS Code (extension "YAML") and others where it is:
  # yaml-language-server: $schema=dlcourse.schema.json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def main(args: argparse.Namespace) -> int:
    import json

    from dlcourse import config

    print(json.dumps(config.json_schema(), indent=2, ensure_ascii=False))
    return 0
