"""``dlcourse completion SHELL``: what completes commands, options, configs, their keys and runs in a shell."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

HELP = "print what makes a shell complete commands, options, configs' names and keys, and runs"
EXAMPLES = """\
examples:
  dlcourse completion bash >> ~/.bashrc      then open a new terminal
  dlcourse completion zsh >> ~/.zshrc        after its line with compinit
  dlcourse completion fish > ~/.config/fish/completions/dlcourse.fish
Then Tab completes: dlcourse run spi..., dlcourse run spirals train.ep..., dlcourse run spirals optimizer=...
"""

_SCRIPTS = {
    "bash": """\
_dlcourse() {
    local IFS=$'\\n' line="${COMP_LINE:0:COMP_POINT}"
    COMPREPLY=($(dlcourse completion --line "$line" 2>/dev/null))
    # Bash completes what is behind the last = or : of a word.
    local word="${line##* }" before
    before="${word%"${word##*[=:]}"}"
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
    [[ ${#COMPREPLY[@]} -gt 0 && "${COMPREPLY[0]}" == *[=/] ]] && compopt -o nospace
}
complete -o default -F _dlcourse dlcourse
""",
    "zsh": """\
_dlcourse() {
    local -a found
    found=("${(@f)$(dlcourse completion --line "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    (( ${#found} )) && compadd -S '' -a found || _files
}
compdef _dlcourse dlcourse
""",
    "fish": """\
complete -c dlcourse -a '(dlcourse completion --line (commandline -cp | string collect) 2>/dev/null)'
""",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", nargs="?", metavar="SHELL", help=f"one of {', '.join(_SCRIPTS)}")
    parser.add_argument("--line", metavar="TEXT", help="print what may complete this command line, a word each")


def main(args: argparse.Namespace) -> int:
    from dlcourse.errors import UserError
    from dlcourse.registry import did_you_mean

    if args.line is not None:
        for word in completions(args.line):
            print(word)
        return 0
    if args.shell not in _SCRIPTS:
        hint = did_you_mean(args.shell, _SCRIPTS) if args.shell else ""
        raise UserError(f"completion: say which shell{hint}: {', '.join(_SCRIPTS)}")
    print(_SCRIPTS[args.shell], end="")
    return 0


def completions(line: str) -> list[str]:
    """What the last word of a command line may become; the files of a folder are the shell's own to complete."""
    words = line.split(" ")
    word = words[-1]
    before = [each for each in words[1:-1] if each]
    return sorted({each for each in _candidates(before, word) if each.startswith(word)}, key=_as_typed)


def _as_typed(word: str) -> tuple[bool, str]:
    return word.startswith("-"), word


def _candidates(before: list[str], word: str) -> Iterable[str]:
    commands = _commands()
    if not before:
        return [*commands, "help", "--version", "--help"] if not word.startswith("--") else ["--version", "--help"]
    command = before[0]
    if command == "help":
        return commands
    if command not in commands:
        return []
    if before[-1] == "--device":
        return ["auto", "cpu", "cuda", "cuda:0"]
    if before[-1] == "--plugin":
        from dlcourse.commands.init import KINDS

        return [*(KINDS if command == "init" else ()), *_files("*.py")]
    parser = _parser(command)
    if word.startswith("-"):
        return [option for action in parser._actions for option in action.option_strings]
    if before[-1] == "--resume":
        return _runs(word)
    names = [str(action.metavar) for action in parser._actions if not action.option_strings]
    if names and names[0].startswith("RUN"):
        return _runs(word)
    if command == "list":
        from dlcourse.commands.list import kinds

        return kinds()
    if command == "data":
        from dlcourse import registry

        return [*registry.names("data"), "fetch", "info"]
    given = [each for each in before[1:] if not each.startswith("-")]
    if command == "grade":
        return _files("*.py") if given else [*_assignments(), *_files("*.yaml")]
    if not names or names[0] not in ("CONFIG", "CONFIG|FILE.py", "CONFIG|RUN", "NAME"):
        return []
    if "=" in word or given and names[-1] == "key=value":
        return _overrides(word, given)
    found = [*_configs(word), *_files("*.yaml")]
    if command == "init":
        found += _assignments()
    found += _runs(word) if "RUN" in names[0] else ()
    return found + _files("*.py") if "FILE.py" in names[0] else found


def _files(pattern: str) -> list[str]:
    return [str(path) for path in Path().glob(pattern)]


def _assignments() -> list[str]:
    """The names of the shipped assignments."""
    from dlcourse.resources import ASSIGNMENTS, configs_folder

    return [path.parent.name for path in (configs_folder() / ASSIGNMENTS).glob("*/assignment.yaml")]


def _commands() -> list[str]:
    import pkgutil

    from dlcourse import commands

    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(commands.__path__))


def _parser(command: str) -> argparse.ArgumentParser:
    import importlib

    parser = argparse.ArgumentParser()
    importlib.import_module(f"dlcourse.commands.{command.replace('-', '_')}").add_arguments(parser)
    return parser


def _configs(word: str) -> Iterator[str]:
    """The names of the shipped configs, with the folder where one is being typed."""
    from dlcourse.resources import shipped

    for path in shipped():
        yield path.with_suffix("").as_posix() if "/" in word else path.stem


def _overrides(word: str, given: list[str]) -> Iterator[str]:
    """Keys of a config with their ``=``, or the values behind it."""
    from dlcourse.config.paths import paths, values

    path, equals, _ = word.partition("=")
    if equals:
        return (f"{path}={value}" for value in values(path))
    return (f"{key}=" for key in paths(_components(given)))


def _components(given: list[str]) -> dict[str, str]:
    """Which components a command line means: those of its config, and those that it changes to."""
    from dlcourse import config
    from dlcourse.errors import DlcourseError

    try:
        data = config.load(given[0]).data
    except (DlcourseError, IndexError):
        data = {}
    named = {kind: str(spec["name"]) for kind, spec in data.items() if isinstance(spec, dict) and "name" in spec}
    for text in given:
        path, equals, value = text.partition("=")
        if equals and path.removesuffix(".name") in named:
            named[path.removesuffix(".name")] = value
    return named


def _runs(word: str) -> Iterator[str]:
    """Folders of runs and sweeps below what is typed, and below ``runs``: the newest come with their whole path."""
    root = Path(word if word.endswith("/") or not word else str(Path(word).parent))
    roots = {root, Path("runs")}
    for folder in roots:
        for depth in ("*", "*/*", "*/*/*"):
            for marker in ("result.json", "sweep.json"):
                yield from (str(found.parent) for found in folder.glob(f"{depth}/{marker}"))
