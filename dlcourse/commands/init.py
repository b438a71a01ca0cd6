"""``dlcourse init [NAME]``: a copy of one of the course's configs, to work on."""

import argparse
from pathlib import Path

HELP = "copy a config that comes with the program, to work on"
EXAMPLES = """\
examples:
  dlcourse init                                        the configs there are
  dlcourse init polynomial_overfitting                 makes polynomial_overfitting.yaml here
  dlcourse init polynomial_overfitting --to mine.yaml
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a config's name, with its folder or without")
    parser.add_argument("--to", metavar="FILE", help="where the copy goes: a file, or a folder that is there")
    parser.add_argument("--force", action="store_true", help="replace a file that is there already")


def main(args: argparse.Namespace) -> int:
    from dlcourse.commands import list as listing
    from dlcourse.errors import UserError
    from dlcourse.filesystem import naming
    from dlcourse.resources import configs_folder

    if args.name is None:
        if args.to:
            raise UserError("say which config to copy; `dlcourse init` alone shows them")
        listing.main(argparse.Namespace(kind=listing.CONFIGS, verbose=False))
        return 0
    source = _find(args.name)
    target = Path(args.to) if args.to else Path(source.name)
    if target.is_dir():
        target = target / source.name
    if not target.parent.is_dir():
        raise UserError(f"{target}: there is no folder {target.parent}")
    content = (configs_folder() / source).read_bytes()
    try:
        with naming(target), target.open("wb" if args.force else "xb") as file:
            file.write(content)
    except FileExistsError:
        raise UserError(f"{target} is there already; --force replaces it, --to FILE takes another name") from None
    print(f"wrote {target}; to run it: dlcourse run {target}")
    return 0


def _find(name: str) -> Path:
    """The shipped config of that name, relative to the configs' folder."""
    from dlcourse.config import shipped
    from dlcourse.errors import UserError
    from dlcourse.registry import nearest

    wanted = Path(name.removesuffix(".yaml").removeprefix("configs/"))
    paths = {path.with_suffix(""): path for path in shipped()}
    found = [path for stem, path in paths.items() if stem == wanted or stem.name == str(wanted)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{len(found)} configs have that name: {', '.join(map(str, found))}; say the folder too")
    close = nearest(str(wanted), [str(stem) for stem in paths]) or nearest(wanted.name, [stem.name for stem in paths])
    meant = f" (did you mean {close!r}?)" if close else ""
    raise UserError(f"no config {name!r} comes with the program{meant}; `dlcourse list configs` shows all")
