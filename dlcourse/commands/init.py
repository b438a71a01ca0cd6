"""``dlcourse init [NAME]``: a copy of one of the course's configs, to work on; or a template of a component."""

import argparse
from pathlib import Path
from typing import Any

HELP = "copy a config that comes with the program, or write a template of a component of your own"
KINDS = ("layer", "model", "data", "metric", "loss", "optimizer")
"""What there is a template of, in the folder ``templates``."""
PLUGIN = ("KIND", f"write a working component with its contract: {', '.join(KINDS)}")

_SCHEMA = "dlcourse.schema.json"
_ASSIGNMENT_SCHEMA = "dlcourse.assignment.schema.json"
_SCHEMA_LINE = "# yaml-language-server: $schema={}\n"

EXAMPLES = """\
examples:
  dlcourse init                                        the configs there are
  dlcourse init polynomial_overfitting                 makes polynomial_overfitting.yaml here
  dlcourse init polynomial_overfitting --to mine.yaml
  dlcourse init softmax_two_layer                      what to start an assignment from
  dlcourse init softmax_two_layer --to mine.yaml       the assignment itself, to write one of your own
  dlcourse init --plugin model                         makes my_model.py here: a working model and its contract
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a config's name, with its folder or without")
    parser.add_argument("--to", metavar="FILE", help="where the copy goes: a file, or a folder that is there")
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")


def main(args: argparse.Namespace) -> int:
    from dlcourse import config
    from dlcourse.commands import list as listing
    from dlcourse.errors import UserError
    from dlcourse.resources import configs_folder, shipped_assignments

    kinds = [each for each in args.plugin if not each.endswith(".py")]
    if kinds:
        return _write_template(args, kinds)
    if args.name is None:
        if args.to:
            raise UserError("say which config to copy; `dlcourse init` alone shows them")
        listing.main(argparse.Namespace(kind=listing.CONFIGS, verbose=False))
        return 0
    if found := shipped_assignments().get(args.name):
        return _write_assignment(args, found.parent)
    source = _find(args.name)
    target = _write(args, source.name, _SCHEMA_LINE.format(_SCHEMA).encode() + (configs_folder() / source).read_bytes())
    print(f"wrote {target}; to run it: dlcourse run {target}")
    _write_schema(target.parent / _SCHEMA, config.json_schema(), "dlcourse schema")
    return 0


def _write_schema(path: Path, schema: dict[str, Any], command: str) -> None:
    """Write the JSON Schema that a command prints beside a config or an assignment.

    A file of that name that is none of ours stays.
    """
    import json

    from dlcourse.filesystem import replacing

    try:
        ours = json.loads(path.read_text(encoding="utf-8")).get("title") == schema["title"]
    except FileNotFoundError:
        ours = True
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        print(f"{path} is no schema of ours, and stays; `{command}` prints the one that the first line names")
        return
    with replacing(path) as file:
        file.write((json.dumps(schema, indent=2, ensure_ascii=False) + "\n").encode())
    print(f"wrote {path}, by which an editor completes and checks it")


def _write_template(args: argparse.Namespace, kinds: list[str]) -> int:
    """``--plugin KIND``: a working component of that kind, with its contract."""
    from dlcourse.errors import UserError
    from dlcourse.registry import did_you_mean

    kind = kinds[0]
    if kind not in KINDS:
        raise UserError(f"init --plugin {kind}: no template{did_you_mean(kind, KINDS)}; there are: {', '.join(KINDS)}")
    if args.name is not None or len(kinds) > 1:
        extra = args.name if args.name is not None else kinds[1]
        raise UserError(f"init --plugin writes one template; {extra!r} is too much (--to FILE names the file)")
    text = (Path(__file__).parent / "templates" / f"{kind}.py").read_text(encoding="utf-8")
    to = Path(args.to or ".")
    name = f"my_{kind}.py" if to.is_dir() else to.name
    if not name.endswith(".py"):
        raise UserError(f"--to {to}: a component's file ends in .py")
    target = _write(args, name, text.replace("FILE", name).encode())
    print(f"wrote {target}; it works as it is: dlcourse check {target}")
    return 0


def _write_assignment(args: argparse.Namespace, folder: Path) -> int:
    """What to start an assignment from; with ``--to FILE.yaml`` the assignment itself, to write one of one's own."""
    if args.to and Path(args.to).suffix in (".yaml", ".yml"):
        from dlcourse.grading import assignment

        text = (folder / "assignment.yaml").read_text(encoding="utf-8")
        others = [line for line in text.splitlines(keepends=True) if not line.startswith("starter:")]
        line = _SCHEMA_LINE.format(_ASSIGNMENT_SCHEMA)
        target = _write(args, "assignment.yaml", "".join([line, *others]).encode())
        print(f"wrote {target}; to check it: dlcourse validate {target}; its keys: dlcourse schema --assignment")
        _write_schema(target.parent / _ASSIGNMENT_SCHEMA, assignment.json_schema(), "dlcourse schema --assignment")
        return 0
    name = f"{folder.name}.py" if not args.to or Path(args.to).is_dir() else Path(args.to).name
    text = (folder / "starter.py").read_text(encoding="utf-8")
    target = _write(args, name, text.replace("FILE", name).encode())
    print(f"wrote {target}; your points: dlcourse grade {folder.name} {target}")
    return 0


def _write(args: argparse.Namespace, name: str, content: bytes) -> Path:
    """Write a new file where the command line says, by default here under that name."""
    from dlcourse.errors import UserError
    from dlcourse.filesystem import naming

    target = Path(args.to) if args.to else Path(name)
    if target.is_dir():
        target = target / name
    if not target.parent.is_dir():
        raise UserError(f"{target}: there is no folder {target.parent}")
    try:
        with naming(target), target.open("wb" if args.force else "xb") as file:
            file.write(content)
    except FileExistsError:
        raise UserError(f"{target} is there already; --force replaces it, --to FILE takes another name") from None
    return target


def _find(name: str) -> Path:
    """The shipped config of that name, relative to the configs' folder."""
    from dlcourse.errors import UserError
    from dlcourse.registry import nearest
    from dlcourse.resources import named, shipped, shipped_assignments

    found = named(name)
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{len(found)} configs have that name: {', '.join(map(str, found))}; say the folder too")
    wanted, stems = Path(name).with_suffix(""), [path.with_suffix("") for path in shipped()]
    close = nearest(wanted.as_posix(), map(str, stems))
    close = close or nearest(wanted.name, [*(stem.name for stem in stems), *shipped_assignments()])
    meant = f" (did you mean {close!r}?)" if close else ""
    raise UserError(f"no config {name!r} comes with the program{meant}; `dlcourse list configs` shows all")
