"""``dlcourse list [KIND]``: what a config can name, with every parameter and its default; and the course's configs."""

import argparse
import textwrap
from collections.abc import Iterator

HELP = "show the components that a config can name, and the configs that come with the program"
EXAMPLES = """\
examples:
  dlcourse list                 everything, a line each
  dlcourse list optimizer -v    with parameters, types and defaults
  dlcourse list train           the keys of a section: how long, in which batches, when to stop
  dlcourse list configs         the course's experiments; `dlcourse init NAME` copies one
"""
CONFIGS = "configs"
SECTIONS = {
    "train": "train",
    "early_stopping": "train.early_stopping",
    "swa": "train.swa",
    "split": "data.split",
    "kfold": "data.kfold",
    "limit": "data.limit",
    "augment": "data.augment",
    "sweep": "sweep",
    "ensemble": "ensemble",
}
"""Sections of keys, which are no components, and where they stand."""


def kinds() -> list[str]:
    """All that can be listed."""
    from dlcourse.registry import KINDS

    return [*KINDS, *SECTIONS, CONFIGS]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", metavar="KIND", help=f"one of {', '.join(kinds())}")
    parser.add_argument("-v", "--verbose", action="store_true", help="with parameters, types and defaults")


def main(args: argparse.Namespace) -> int:
    import shutil
    import sys

    from dlcourse.errors import UserError
    from dlcourse.registry import did_you_mean

    known = kinds()
    kind = args.kind.removesuffix("s") if args.kind and args.kind not in known else args.kind
    if kind is not None and kind not in known:
        raise UserError(f"nothing of kind {args.kind!r}{did_you_mean(kind, known)}; the kinds are: {', '.join(known)}")
    width = max(40, shutil.get_terminal_size((120, 24)).columns)
    full = not sys.stdout.isatty()  # A file or a pipe gets whole lines.
    for each in [kind] if kind else known:
        if kind is None:
            print(f"{each}: {_about(each)}")
        if each == CONFIGS:
            lines = _configs()
        elif each in SECTIONS:
            lines = _section(each, args.verbose or kind is not None, width)
        else:
            lines = _components(each, args.verbose, width)
        print("\n".join(line if full else _fit(line, width) for line in lines))
        if kind is None:
            print()
    return 0


def _about(kind: str) -> str:
    """What is listed, in a line."""
    from dlcourse.config.section_schema import section_schema
    from dlcourse.config.sections import section_at
    from dlcourse.registry import KINDS

    if kind == CONFIGS:
        return "the experiments that come with the program"
    return KINDS[kind].summary if kind in KINDS else section_schema(section_at(SECTIONS[kind])).summary


def _section(name: str, full: bool, width: int) -> Iterator[str]:
    """The keys of a section, with types, defaults and meanings, or all in a line."""
    from dlcourse.config.section_schema import section_schema
    from dlcourse.config.sections import section_at

    path = SECTIONS[name]
    keys = list(section_schema(section_at(path)).keys.values())
    if not full:
        yield f"  {path}: {{{', '.join(key.name for key in keys)}}}"
        return
    yield f"  {path}:"
    yield from _keys(keys, width)


def _components(kind: str, verbose: bool, width: int) -> Iterator[str]:
    from dlcourse import config, registry

    names = registry.names(kind)
    longest = max(map(len, names), default=0)
    for name in names:
        shape = config.component_schema(kind, name)
        yield f"  {name:<{longest}}  {shape.summary}".rstrip()
        if verbose:
            own = {parameter.name for parameter in registry.parameters(kind, name)}
            yield from _keys([key for key in shape.keys.values() if key.name in own], width)
            yield ""
    if verbose:
        shared = [key for key in shape.keys.values() if key.name not in own] if names else []
        if shared:
            yield f"  every {'data set' if kind == 'data' else kind} also has"
            yield from _keys(shared, width)


def _keys(keys: list, width: int) -> Iterator[str]:
    for key in keys:
        value = "required" if key.required else _inline(key.filled)
        text = f"{key.name}: {value}  ({_words(key.adapter.json_schema()['items'])}) {key.description}".rstrip()
        yield from textwrap.wrap(text, width, initial_indent=" " * 6, subsequent_indent=" " * 10)


def _words(schema: dict) -> str:
    """A key's type, from its JSON Schema: ``whole number >= 1``, ``relu | tanh``, ``list of number``."""
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_words(branch) for branch in schema["anyOf"])
    if "prefixItems" in schema:
        return f"[{', '.join(_words(item) for item in schema['prefixItems'])}]"
    if "items" in schema:
        return f"list of {_words(schema['items'])}"
    if "x-component" in schema:
        kind = schema["x-component"]
        return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
    kinds = {"integer": "whole number", "boolean": "true | false", "string": "text", "object": "mapping"}
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    kind = schema.get("const", schema.get("type", "mapping" if "$ref" in schema else "anything"))
    bounds = " and ".join(f"{sign} {schema[bound]:g}" for bound, sign in signs.items() if bound in schema)
    return f"{kinds.get(kind, kind)} {bounds}".rstrip()


def _inline(value: object) -> str:
    from dlcourse.config import dump

    return dump({"value": value}, width=10**6).removeprefix("value:").strip()


def _configs() -> Iterator[str]:
    from dlcourse import config
    from dlcourse.resources import ASSIGNMENTS, configs_folder
    from dlcourse.text import leading_comment

    paths = config.shipped()
    longest = max((len(str(path.with_suffix(""))) for path in paths), default=0)
    for path in paths:
        about = leading_comment((configs_folder() / path).read_text(encoding="utf-8")).partition("\n")[0]
        yield f"  {path.with_suffix('').as_posix():<{longest}}  {about}"
    if not paths:
        yield "  none"
    for path in sorted(configs_folder().glob(f"{ASSIGNMENTS}/*/assignment.yaml")):
        about = leading_comment(path.read_text(encoding="utf-8")).partition("\n")[0]
        yield f"  {path.parent.name:<{longest}}  assignment, for dlcourse grade: {about}"


def _fit(line: str, width: int) -> str:
    return line if len(line) <= width else f"{line[: width - 3].rstrip()}..."
