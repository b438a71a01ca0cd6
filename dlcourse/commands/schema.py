"""``dlcourse schema``: the JSON Schema of a config."""

import argparse

HELP = "print the JSON Schema of a config, with which an editor completes and checks it"
EXAMPLES = """\
example:
  dlcourse schema > dlcourse.schema.json
Then the first line of a config tells VS Code (extension "YAML") and others where it is:
  # yaml-language-server: $schema=dlcourse.schema.json
`dlcourse schema --assignment` prints that of an assignment for dlcourse grade.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--assignment", action="store_true", help="the schema of an assignment for dlcourse grade")


def main(args: argparse.Namespace) -> int:
    import json

    from dlcourse import config

    if args.assignment:
        from dlcourse.grading import assignment

        schema = assignment.json_schema()
    else:
        schema = config.json_schema()
    print(json.dumps(schema, indent=2, ensure_ascii=False))
    return 0
